"""`sangam serve`: the server started."""

from typing import Annotated

import typer

from fhir_server.main import serve as supervisor
from fhir_server.main.options import BrokerUrl, DatabaseUrl, DataDir, given


def serve(  # noqa: PLR0913  (one parameter a flag)
    *,
    demo: Annotated[
        bool | None, typer.Option("--demo", help="Open without login, on loopback only.")
    ] = None,
    data_dir: DataDir = None,
    host: Annotated[
        str | None, typer.Option(help="Address to bind.", show_default="127.0.0.1")
    ] = None,
    http_port: Annotated[
        int | None, typer.Option(help="REST; 0: a free one.", show_default="8080")
    ] = None,
    mllp_port: Annotated[
        int | None, typer.Option(help="HL7 v2; 0: a free one.", show_default="2575")
    ] = None,
    astm_port: Annotated[
        int | None, typer.Option(help="ASTM analyzers; 0: a free one.", show_default="none")
    ] = None,
    dicom_port: Annotated[
        int | None, typer.Option(help="DICOM; 0: a free one.", show_default="11112")
    ] = None,
    database_url: DatabaseUrl = None,
    broker_url: BrokerUrl = None,
    processes: Annotated[int | None, typer.Option(help="HTTP processes.", show_default="1")] = None,
) -> None:
    """Start the server, its listeners, its worker and its database.

    Example: `sangam serve --demo --http-port 0`
    """
    settings = given(
        demo=demo,
        data_dir=data_dir,
        host=host,
        http_port=http_port,
        mllp_port=mllp_port,
        astm_port=astm_port,
        dicom_port=dicom_port,
        database_url=database_url,
        broker_url=broker_url,
        processes=processes,
    )
    supervisor.serve(settings)
