"""The command line `sangam`."""

from typing import Any

import typer

from fhir_server.errors import SangamError
from fhir_server.main import private
from fhir_server.main.commands import COMMANDS
from fhir_server.main.late import found
from fhir_server.main.lazily import MARKUP, Lazily
from fhir_server.main.refused import Refused


class Sangam(Lazily):
    """The commands; what they refuse is a line for the person who typed them."""

    known = COMMANDS

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401  (click's signature)
        """Run the command; a refusal ends it with status 1."""
        try:
            return super().invoke(ctx)
        except (Refused, SangamError) as error:
            found("fhir_server.main.options:fail")(str(error))


app = typer.Typer(
    name="sangam",
    cls=Sangam,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=MARKUP,
    pretty_exceptions_show_locals=False,
    help="Sangam, a FHIR R4 server with HL7 v2 and DICOM.\n\n"
    "Start it with `sangam serve --demo`, look at it with `sangam status`. Every setting "
    "is in docs/settings.md: a flag, a variable `SANGAM_...`, or a line of `sangam.toml`.",
)


@app.callback()
def main(context: typer.Context) -> None:
    """Close to others what is written, and give sub-commands what they open the database with."""
    context.call_on_close(private.kept())
    name = context.invoked_subcommand
    if name is not None and COMMANDS[name].kind != "command":
        context.obj = found("fhir_server.main.target:of_flags")()
