"""What an operator is told of what is sealed at rest."""

from fhir_server.at_rest.keyring import listed
from fhir_server.at_rest.progress import Progress, progress
from fhir_server.database import Connection


async def facts(connection: Connection) -> list[tuple[str, str]]:
    """Return what `sangam status` says of it."""
    keys, state = await listed(connection), await progress(connection)
    if not keys:
        return [("sealed at rest", "not yet: no server has run")]
    one = keys[0]
    since = f"data key {one.id[:8]} since {one.made:%Y-%m-%d}, master key {one.master[:8]}"
    return [("sealed at rest", since), *(("", line) for line in told(state))]


def told(state: Progress | None) -> list[str]:
    """Return what there is to be said of how far everything is sealed."""
    if state is None:
        return []
    lines = []
    if state.under_way and state.began:
        what = "Rotation" if state.replaced else "Files of before are sealed"
        lines.append(
            f"{what} since {state.began:%Y-%m-%d %H:%M}: {state.sealed:,} sealed so far, "
            f"pass {state.number} is through {state.share:.0%}"
        )
    elif state.ended and not state.plain:
        lines.append(
            f"Everything is sealed since {state.ended:%Y-%m-%d %H:%M}: {state.sealed:,} files were "
            "sealed anew"
        )
    elif state.plain:
        lines.append("Files that are not sealed are believed; the worker seals them as it starts")
    if state.failed:
        lines.append(
            f"{state.failed:,} files cannot be opened, and the log names them: put them back, then "
            "sangam keys rotate-data --again"
        )
    return lines
