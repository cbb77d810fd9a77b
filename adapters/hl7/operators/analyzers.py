"""`sangam hl7 simulate`: imagined analyzers that send, for demonstrations and load."""

from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from adapters.hl7.simulate.play import KINDS, Kind, Plan, Tally, item, play
from adapters.hl7.simulate.values import CRITICAL_SHARE

_MILLI = 1_000

Host = Annotated[str | None, typer.Option(help="Listener.", show_default="running server")]
Port = Annotated[int | None, typer.Option(help="Its port.", show_default="running server")]


def simulate(  # noqa: PLR0913  (one parameter a flag)
    context: typer.Context,
    kinds: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KIND]...", help=f"{', '.join(KINDS)}; several: in turn."),
    ] = None,
    *,
    transport: Annotated[
        Literal["mllp", "astm"], typer.Option(help="How the analyzers speak.")
    ] = "mllp",
    host: Host = None,
    port: Port = None,
    count: Annotated[int, typer.Option(min=1, help="Messages in all.")] = 100,
    analyzers: Annotated[int, typer.Option(min=1, max=256, help="Lines side by side.")] = 1,
    rate: Annotated[
        float, typer.Option(min=0, help="Messages a second in all; 0: as fast as answered.")
    ] = 0,
    seed: Annotated[
        int, typer.Option(min=1, max=3_000, help="The same seed sends the same messages.")
    ] = 1,
    critical_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the panels with a critical value.")
    ] = CRITICAL_SHARE,
    seconds: Annotated[float, typer.Option(min=0.1, help="Patience with each answer.")] = 30,
) -> None:
    """Play analyzers that send results, correct and cancel them, or ask for work.

    cbc, chemistry and gas are panels of numbers; microbiology is a blood culture with the
    susceptibilities of its organism; corrections sends each specimen as preliminary, final,
    corrected, final and cancelled; query asks what to measure (IHE LAW over MLLP, Q records
    over ASTM). Patients and values are made up and follow from the seed: most values are
    usual, one in twenty is high or low, and few messages hold a critical one (HH, LL).
    Ends with 0 where every message was taken, else with 1.

    Examples: sangam hl7 simulate cbc --count 20 /
    sangam hl7 simulate chemistry corrections --analyzers 8 --rate 100 --count 1000 /
    sangam hl7 simulate query --transport astm
    """
    wanted = tuple(_kind(one) for one in kinds or ("chemistry",))
    address = _address(context, transport, host, port)
    plan = Plan(*address, transport, wanted, count, analyzers, rate, seed, seconds, critical_share)
    for one in wanted:
        try:
            item(one, seed, transport)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="KIND") from None
    tally = _played(plan)
    _show(tally)
    if not tally.well:
        raise typer.Exit(1)


def _kind(said: str) -> Kind:
    for kind in KINDS:
        if kind == said:
            return kind
    raise typer.BadParameter(f"There is no {said}; there are {', '.join(KINDS)}")


def _address(
    context: typer.Context, transport: str, host: str | None, port: int | None
) -> tuple[str, int]:
    target: Any = context.obj
    found = target.listener(transport) if hasattr(target, "listener") else None
    if found is None and port is None:
        flag = "" if transport == "mllp" else " with --astm-port"
        raise typer.BadParameter(f"No server listens: start one{flag}, or name a port")
    return host or (found[0] if found else "127.0.0.1"), port or (found[1] if found else 0)


def _played(plan: Plan) -> Tally:
    columns = (
        *(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()),
        *(TextColumn("{task.fields[told]}"), TimeElapsedColumn()),
    )
    with Progress(*columns, console=Console(markup=False)) as progress:
        task = progress.add_task("sent", total=plan.count, told="")

        def advance(tally: Tally) -> None:
            bad = tally.sent - tally.acknowledged
            told = f"{bad} not taken" if bad else "all taken"
            progress.update(task, completed=tally.sent, told=told)

        return play(plan, advance)


def _show(tally: Tally) -> None:
    table = Table.grid(padding=(0, 2, 0, 0))
    rate = tally.sent / tally.seconds if tally.seconds else 0.0
    rows = [
        ("sent", f"{tally.sent:,}  ({rate:,.0f}/s)"),
        ("acknowledged", f"{tally.acknowledged:,}"),
        *((f"refused: {text}", f"{count:,}") for text, count in tally.refused.most_common(10)),
        *((f"lost: {text}", f"{count:,}") for text, count in tally.lost.most_common(10)),
        ("answer, median", f"{tally.quantile(0.5) * _MILLI:,.1f} ms"),
        ("answer, p95", f"{tally.quantile(0.95) * _MILLI:,.1f} ms"),
    ]
    if tally.orders:
        rows.append(("orders received", f"{tally.orders:,}"))
    for name, value in rows:
        table.add_row(name, value)
    Console(markup=False).print(table)
