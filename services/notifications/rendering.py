"""Renders notifications with the templates of their language."""

import re
from pathlib import Path

import jinja2
import structlog
from jinja2.runtime import Context

from services.notifications.domain import Channel, Content, Notification, NotSentError, Recipient
from services.notifications.formats import format_day, format_money

TEMPLATES = Path(__file__).parent / "templates"

log = structlog.get_logger()


class Renderer:
    """Renders `<language>/<template>.txt` and `.html`, or `.sms.txt`.

    `shop_url` is where links lead: the address of the shop for browsers, without a "/" at its end.
    A variable that is missing is an error, never an empty place. Variables are escaped in HTML.
    """

    def __init__(self, templates: Path = TEMPLATES, *, shop_url: str) -> None:
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(templates),
            undefined=jinja2.StrictUndefined,
            autoescape=jinja2.select_autoescape(["html"], default=False),
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals["shop_url"] = shop_url
        self._environment.filters |= {"money": _money, "day": _day}

    def render(self, notification: Notification, recipient: Recipient) -> Content:
        """Render a notification; NotSentError when its template is broken."""
        render = self._render_mail if notification.channel is Channel.EMAIL else self._render_sms
        try:
            return render(notification, recipient)
        except Exception as error:  # a template can raise whatever its filters do
            log.error("template_broken", template=notification.template, error=_describe(error))
            raise NotSentError("TEMPLATE_BROKEN") from error

    def _render_mail(self, notification: Notification, recipient: Recipient) -> Content:
        name = f"{recipient.language}/{notification.template}"
        variables = _variables(notification, recipient)
        plain = self._environment.get_template(f"{name}.txt")
        subject = one_line("".join(plain.blocks["subject"](plain.new_context(variables))))
        rich = self._environment.get_template(f"{name}.html")
        return Content(
            language=recipient.language,
            subject=subject,
            text=_collapse_blank_lines(plain.render(variables)),
            html=rich.render(variables, subject=subject),
        )

    def _render_sms(self, notification: Notification, recipient: Recipient) -> Content:
        name = f"{recipient.language}/{notification.template}.sms.txt"
        template = self._environment.get_template(name)
        text = one_line(template.render(_variables(notification, recipient)))
        return Content(language=recipient.language, subject=text, text=text)


def one_line(text: str) -> str:
    """Return a text without line breaks, as headers and SMS need it."""
    return " ".join(line.strip() for line in text.splitlines() if line.strip())


def _variables(notification: Notification, recipient: Recipient) -> dict[str, object]:
    return {**notification.variables, "language": recipient.language, "recipient": recipient}


def _collapse_blank_lines(text: str) -> str:
    """Return a text with at most one blank line in a row."""
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _describe(error: Exception) -> str:
    """Return the error of a template: names of variables, never their values."""
    return str(error) if isinstance(error, jinja2.TemplateError) else type(error).__name__


@jinja2.pass_context
def _money(context: Context, amount: str, currency: str) -> str:
    return format_money(amount, currency, context["language"])


@jinja2.pass_context
def _day(context: Context, moment: str) -> str:
    return format_day(moment, context["language"])
