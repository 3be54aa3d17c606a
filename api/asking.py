"""Commands that ask a running server, over the same doors as everybody."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import httpx

from api.machine_key import MachineKey, NoServer, read_key
from config.errors import BadInput, OnrecordError, Refused, Unhealthy
from config.settings import Settings

_KINDS: dict[int, type[OnrecordError]] = {401: Refused, 403: Refused, 404: BadInput, 409: Refused, 422: BadInput}


class Server:
    def __init__(self, key: MachineKey) -> None:
        self._key = key

    @classmethod
    def of_this_machine(cls, settings: Settings) -> Server:
        """Raises NoServer when none runs here."""
        key = read_key(settings.web.key_file)
        if key is None:
            raise NoServer(
                "no onrecord server runs here", field="web.key_file", remedy="start it: onrecord serve, then ask again"
            )
        return cls(key)

    def ask(self, method: str, *path: str, body: dict[str, Any] | None = None) -> Any:
        """The answer's JSON, None where there is none. A problem comes back as the error it was, with its error_id, field and remedy."""
        address = "/".join(quote(part, safe="") for part in path)
        try:
            # trust_env off: a proxy of the environment must not see the key of this machine.
            with httpx.Client(base_url=f"{self._key.url}/api/v1", timeout=40, trust_env=False) as http:
                answer = http.request(method, address, headers={"Authorization": f"Bearer {self._key.key}"}, json=body)
        except httpx.TransportError as error:
            raise NoServer(
                f"the server does not answer ({type(error).__name__})",
                remedy="see whether onrecord serve still runs; if it crashed, remove its key file",
            ) from error
        if answer.is_success:
            return answer.json() if answer.status_code != 204 else None
        raise _as_error(answer)


def _as_error(answer: httpx.Response) -> OnrecordError:
    said = answer.json()
    kind = _KINDS.get(answer.status_code, Unhealthy)
    error = kind(said["title"], remedy=said["remedy"], field=said.get("field"), shape=said.get("shape"))
    error.error_id = said["error_id"]  # type: ignore[misc]  # the server's own id, on this one error
    return error
