"""The variables that point Google's client libraries at the emulator, and its credentials file.

The credentials are an ordinary service-account file with a key made here, whose token address is
the emulator's own `/token`: application-default credentials then work unchanged.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from vertex_emulator import __version__
from vertex_emulator.access import TOKEN_VARIABLE, access_token
from vertex_emulator.config import EmulatorConfig
from vertex_emulator.loopback import proxy_exceptions

CREDENTIALS_FILE = "credentials.json"
"""Service-account file in the state folder."""


def write_credentials(config: EmulatorConfig, url: str) -> Path:
    """Write the service-account file, keeping the key of an earlier start; returns its path."""
    path = config.state / CREDENTIALS_FILE
    private_key = None
    if path.exists():
        private_key = json.loads(path.read_text())["private_key"]
    if private_key is None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        private_key = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()
    account = f"emulator@{config.project}.iam.gserviceaccount.com"
    content = {
        "type": "service_account",
        "project_id": config.project,
        "private_key_id": "emulated",
        "private_key": private_key,
        "client_email": account,
        "client_id": "0",
        "auth_uri": f"{url}/auth",
        "token_uri": f"{url}/token",
        "universe_domain": "googleapis.com",
    }
    _write_secret(path, json.dumps(content, indent=2))
    return path


def client_variables(config: EmulatorConfig, url: str, credentials: Path) -> dict[str, str]:
    """Environment variables with which Google's clients talk to the emulator at `url`."""
    return {
        "GOOGLE_APPLICATION_CREDENTIALS": str(credentials),
        "GOOGLE_CLOUD_PROJECT": config.project,
        "GOOGLE_CLOUD_LOCATION": config.location,
        "GOOGLE_GENAI_USE_VERTEXAI": "true",
        "GOOGLE_VERTEX_BASE_URL": url,
        # `genai.Client()` reads this one, whatever API it then speaks. With another base URL it
        # forgets project and location, unless that URL ends like Google's: a fragment does, and
        # is never sent.
        "GOOGLE_GEMINI_BASE_URL": f"{url}/#.googleapis.com",
        "STORAGE_EMULATOR_HOST": url,
        "BIGQUERY_EMULATOR_HOST": url,
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
        "GENAIOPS_BUCKET": config.bucket,
        "VERTEX_EMULATOR_VERSION": __version__,
        TOKEN_VARIABLE: access_token(credentials),
        **proxy_exceptions(),
    }


def write_environment_file(path: Path, variables: dict[str, str]) -> None:
    """Write `variables` as `NAME='value'` lines, in one step, for a shell or a dotenv reader."""
    lines = [f"{name}='{value}'\n" for name, value in variables.items()]
    _write_secret(path, "".join(lines))


def _write_secret(path: Path, text: str) -> None:
    """Write in one step what this account alone may read, into a folder that others may share."""
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, prefix=f".{path.name}.", delete=False
    ) as file:  # a new file, 0600
        file.write(text)
    Path(file.name).replace(path)
