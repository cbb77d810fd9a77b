"""`sangam dicom`: what operators ask, decide and send."""

import typer

from adapters.dicom.commitment import cli as commitment
from adapters.dicom.deidentification import cli as deidentification
from adapters.dicom.documents import cli as documents
from adapters.dicom.mpps import cli as mpps
from adapters.dicom.operators import cli as operators
from adapters.dicom.query import cli as query
from adapters.dicom.simulation.cli import simulate
from adapters.dicom.storage import cli as storage
from adapters.dicom.worklist import cli as worklist

app = typer.Typer(
    help="DICOM: studies, worklist, what modalities do, peers, documents, export, simulation.",
    no_args_is_help=True,
)

app.add_typer(query.app, name="peers")
app.add_typer(operators.studies_app, name="studies")
app.add_typer(operators.unmatched_app, name="unmatched")
app.add_typer(operators.conflicts_app, name="conflicts")
app.add_typer(commitment.app, name="commitments")
app.add_typer(mpps.app, name="mpps")
app.add_typer(worklist.app, name="worklist")
app.add_typer(worklist.procedures_app, name="procedures")
app.add_typer(storage.app, name="quota")
app.command("verify")(storage.verify_files)
app.add_typer(deidentification.app, name="projects")
app.command("export")(deidentification.export)
app.add_typer(documents.app, name="documents")
app.command("explain")(documents.explain_file)
for command in (query.echo, query.find, query.move, query.get, query.send, simulate):
    app.command()(command)
