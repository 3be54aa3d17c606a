"""onrecord desk: agents' desks of the running server. Commands on this machine speak for everybody."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from rich.console import Console

from api.asking import Server
from api.speaking import Json, say, table
from config.calendars import zone
from config.settings import load_settings

app = typer.Typer(no_args_is_help=True, help="Agents at their desks: states, calls, transfers, a leader's ear")

Agent = Annotated[str, typer.Argument(help="The agent's log-in name")]
Reason = Annotated[str, typer.Option(help="Why")]
Leader = Annotated[str, typer.Argument(help="The leader's log-in name")]


def register(root: typer.Typer) -> None:
    root.add_typer(app, name="desk")


def _ask(method: str, *path: str, **body: Any) -> Any:
    sent = {name: value for name, value in body.items() if value is not None}
    return Server.of_this_machine(load_settings()).ask(method, "agents", *path, body=sent if method == "POST" else None)


def _clock(at: str | None, house: ZoneInfo) -> str:
    """By the clock on the house's wall."""
    return f"{datetime.fromisoformat(at).astimezone(house):%H:%M:%S}" if at is not None else ""


@app.command("list")
def list_agents(as_json: Json = False) -> None:
    """Everybody on the floor: state, since when, reason, call."""
    found = _ask("GET")

    def draw(console: Console) -> None:
        keys = ("id", "name", "desk", "state", "since", "reason", "pause_wanted", "call_id", "owes")
        house = zone(load_settings().timezone)
        items = [{**one, "since": _clock(one["since"], house)} for one in found["items"]]
        rows = [[one[key] if one[key] is not None else "" for key in keys] for one in items]
        console.print(table("Agents", keys, rows) if rows else "Nobody is on the floor: onrecord desk log-in NAME")

    say(as_json, found, draw)


@app.command()
def show(agent: Agent, as_json: Json = False) -> None:
    """An agent's screen: who is coming, the call, the offered case, outcomes owed."""
    desk = _ask("GET", agent, "desk")

    def draw(console: Console) -> None:
        state, coming, call = desk["agent"], desk["coming"], desk["call"]
        console.print(f"{state['name']}: {state['state']}" + (f" ({state['reason']})" if state["reason"] else ""))
        if coming:
            owed = (
                "" if coming["balance"] is None else f", {coming['balance']['currency']} {coming['balance']['amount']}"
            )
            console.print(f"{coming['client_ref']} {coming['contact']} ({coming['relation']}) {coming['number']}{owed}")
        if call:
            console.print(f"call {call['call_id']}: {call['state']}" + (", held" if call["held"] else ""))
        for one in desk["owed"]:
            console.print(f"owes an outcome: {one['call_id']} since {one['since']}")

    say(as_json, desk, draw)


@app.command()
def owed(as_json: Json = False) -> None:
    """Outcomes that nobody has entered yet."""
    found = _ask("GET", "owed")
    rows = [(one["call_id"], one["owner"], one["agent_id"], one["since"]) for one in found["items"]]
    say(as_json, found, lambda console: console.print(table("Owed", ("call", "owner", "talked", "since"), rows)))


@app.command("log-in")
def log_in(
    agent: Agent,
    desk: Annotated[str | None, typer.Option(help="A desk of settings; default: the user's own")] = None,
    as_json: Json = False,
) -> None:
    """Call the desk's phone and keep it connected."""
    _moved(as_json, _ask("POST", agent, "log-in", desk=desk))


@app.command("log-out")
def log_out(agent: Agent, as_json: Json = False) -> None:
    """Let the desk's phone go; refused while a customer or an outcome waits."""
    _done(as_json, _ask("POST", agent, "log-out"), f"{agent} is logged out")


@app.command()
def ready(agent: Agent, as_json: Json = False) -> None:
    """Take calls."""
    _moved(as_json, _ask("POST", agent, "ready"))


@app.command()
def pause(
    agent: Agent, reason: Annotated[str, typer.Option(help="A reason code of settings")], as_json: Json = False
) -> None:
    """At once, or after the call in hand."""
    _moved(as_json, _ask("POST", agent, "pause", reason=reason))


@app.command()
def call(
    agent: Agent,
    case_id: Annotated[str, typer.Argument(help="The case")],
    number_id: Annotated[str, typer.Argument(help="One of its numbers")],
    as_json: Json = False,
) -> None:
    """Click-to-call, judged and taped like any call."""
    made = _ask("POST", agent, "calls", case_id=case_id, number_id=number_id)
    say(as_json, made, lambda console: console.print(f"calling: {made['call_id']}"))


@app.command()
def accept(agent: Agent, as_json: Json = False) -> None:
    """Dial the case a preview campaign shows this agent."""
    taken = _ask("POST", agent, "offer", "accept")
    say(as_json, taken, lambda console: console.print(taken["call_id"] or "a rule refuses the number by now"))


@app.command()
def skip(agent: Agent, reason: Reason, as_json: Json = False) -> None:
    """Not this case now; it comes back in an hour."""
    _done(as_json, _ask("POST", agent, "offer", "skip", reason=reason), "skipped")


@app.command()
def hold(
    agent: Agent, off: Annotated[bool, typer.Option("--off", help="Resume")] = False, as_json: Json = False
) -> None:
    """Hold the customer, or resume."""
    _done(as_json, _ask("POST", agent, "call", "hold", on=not off), "resumed" if off else "held")


@app.command()
def keys(agent: Agent, digits: Annotated[str, typer.Argument(help="0-9 A-D * #")], as_json: Json = False) -> None:
    """DTMF for the far side."""
    _done(as_json, _ask("POST", agent, "call", "keys", digits=digits), "sent")


@app.command("hang-up")
def hang_up(agent: Agent, as_json: Json = False) -> None:
    """End the agent's call."""
    _done(as_json, _ask("POST", agent, "call", "hang-up"), "ended")


@app.command()
def consult(agent: Agent, other: Annotated[str, typer.Argument(help="Whom to ask")], as_json: Json = False) -> None:
    """Speak with a leader or another agent while the customer waits."""
    _done(as_json, _ask("POST", agent, "call", "consult", agent=other), f"{agent} consults {other}")


@app.command("three-way")
def three_way(agent: Agent, as_json: Json = False) -> None:
    """Whoever is consulted joins."""
    _done(as_json, _ask("POST", agent, "call", "three-way"), "all three hear each other")


@app.command("hand-over")
def hand_over(agent: Agent, as_json: Json = False) -> None:
    """Whoever was consulted keeps the customer."""
    _done(as_json, _ask("POST", agent, "call", "hand-over"), "handed over")


@app.command("take-back")
def take_back(agent: Agent, as_json: Json = False) -> None:
    """The guests leave the call."""
    _done(as_json, _ask("POST", agent, "call", "take-back"), "taken back")


@app.command()
def listen(leader: Leader, agent: Agent, reason: Reason, as_json: Json = False) -> None:
    """A leader hears an agent's call. Audited."""
    _done(as_json, _ask("POST", agent, "call", "listen", leader=leader, reason=reason), f"{leader} listens")


@app.command()
def whisper(leader: Leader, agent: Agent, reason: Reason, as_json: Json = False) -> None:
    """The agent hears the leader, the customer does not. Audited."""
    _done(as_json, _ask("POST", agent, "call", "whisper", leader=leader, reason=reason), f"{leader} whispers")


@app.command()
def join(leader: Leader, agent: Agent, reason: Reason, as_json: Json = False) -> None:
    """Everybody hears the leader (barge). Audited."""
    _done(as_json, _ask("POST", agent, "call", "join", leader=leader, reason=reason), f"{leader} has joined")


@app.command()
def leave(leader: Leader, as_json: Json = False) -> None:
    """The leader leaves the call attended."""
    _done(as_json, _ask("POST", leader, "call", "leave"), f"{leader} has left")


def _moved(as_json: bool, view: dict[str, Any]) -> None:
    wants = f", then {view['pause_wanted']}" if view["pause_wanted"] else ""
    say(as_json, view, lambda console: console.print(f"{view['name']}: {view['state']}{wants}"))


def _done(as_json: bool, _nothing: None, said: str) -> None:
    say(as_json, {"done": True}, lambda console: console.print(said))
