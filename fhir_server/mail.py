"""Mail of this server, by TLS alone.

https://www.rfc-editor.org/rfc/rfc8314
"""

import smtplib
import ssl
from contextlib import suppress
from email.message import EmailMessage
from pathlib import Path

from fhir_server.errors import Unavailable
from fhir_server.role_settings import MailSettings


def send(settings: MailSettings, subject: str, text: str) -> None:
    """Send a mail, and return when the mail server has taken it for each address.

    Unavailable where it has not, or has no certificate that we trust.
    """
    message = EmailMessage()
    message["Subject"], message["From"] = subject, settings.sender
    message["To"] = ", ".join(settings.to)
    message["Auto-Submitted"] = "auto-generated"  # nobody's absence is told to us (RFC 3834, 5)
    message.set_content(text)
    try:
        _sent(settings, message)
    except (OSError, smtplib.SMTPException) as error:
        raise Unavailable("The mail server does not take the mail") from error


def _sent(settings: MailSettings, message: EmailMessage) -> None:
    context = ssl.create_default_context(cafile=settings.ca_file or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    place = (settings.host, settings.port)
    if settings.tls == "implicit":
        found: smtplib.SMTP = smtplib.SMTP_SSL(*place, timeout=settings.seconds, context=context)
    else:
        found = smtplib.SMTP(*place, timeout=settings.seconds)
    try:
        if settings.tls == "starttls":
            found.starttls(context=context)
        if settings.user:
            password = Path(settings.password_file).read_text(encoding="utf-8").strip()
            found.login(settings.user, password)
        refused = found.send_message(message)
        if refused:
            raise smtplib.SMTPRecipientsRefused(refused)
    finally:
        with suppress(OSError, smtplib.SMTPException):
            found.quit()
