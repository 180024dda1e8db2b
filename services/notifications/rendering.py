"""Turns a notification into words, by the templates of its language."""

import re
from pathlib import Path

import jinja2
import structlog
from jinja2.runtime import Context

from services.notifications.domain import Channel, Notification, NotSentError, Recipient, Wording
from services.notifications.formats import format_day, format_money

TEMPLATES = Path(__file__).parent / "templates"

log = structlog.get_logger()


class Renderer:
    """Renders `<language>/<template>.txt` and `.html`, or `.sms.txt`.

    What a template names and the facts lack is an error, never an empty place. What comes
    from outside is escaped in HTML.
    """

    def __init__(self, templates: Path = TEMPLATES) -> None:
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(templates),
            undefined=jinja2.StrictUndefined,
            autoescape=jinja2.select_autoescape(["html"], default=False),
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {"money": _money, "day": _day}

    def render(self, notification: Notification, recipient: Recipient) -> Wording:
        """Return the notification in words; NotSentError when its template is broken."""
        words = self._mail if notification.channel is Channel.EMAIL else self._sms
        known = {**notification.facts, "language": recipient.language, "recipient": recipient}
        try:
            return words(f"{recipient.language}/{notification.template}", known)
        except Exception as error:  # a template can raise whatever its filters do
            log.error("template_broken", template=notification.template, error=_describe(error))
            raise NotSentError("TEMPLATE_BROKEN") from error

    def _mail(self, name: str, known: dict[str, object]) -> Wording:
        plain = self._environment.get_template(f"{name}.txt")
        subject = one_line("".join(plain.blocks["subject"](plain.new_context(known))))
        rich = self._environment.get_template(f"{name}.html")
        return Wording(
            language=str(known["language"]),
            subject=subject,
            text=_tidy(plain.render(known)),
            html=rich.render(known, subject=subject),
        )

    def _sms(self, name: str, known: dict[str, object]) -> Wording:
        text = one_line(self._environment.get_template(f"{name}.sms.txt").render(known))
        return Wording(language=str(known["language"]), subject=text, text=text)


def one_line(text: str) -> str:
    """Return a text without breaks, as headers and SMS need it."""
    return " ".join(line.strip() for line in text.splitlines() if line.strip())


def _tidy(text: str) -> str:
    """Return a text with at most one empty line at a place."""
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _describe(error: Exception) -> str:
    """Return what went wrong: names in the template, never what they stand for."""
    return str(error) if isinstance(error, jinja2.TemplateError) else type(error).__name__


@jinja2.pass_context
def _money(context: Context, amount: str, currency: str) -> str:
    return format_money(amount, currency, context["language"])


@jinja2.pass_context
def _day(context: Context, moment: str) -> str:
    return format_day(moment, context["language"])
