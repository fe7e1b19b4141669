"""Which untracked files a snapshot leaves out because they look like secrets: by name, then by content.

The names are those under which programs keep credentials, as scanners for credentials know them; upper and lower case
are one. Copies and backups (`id_rsa.bak`, `.env~`) count as what they are copies of, examples (`.env.example`) and
public keys do not count. By content, whatever the name: private keys, of which a service account's file has one.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_WORDS = """
    .env .envrc .netrc _netrc .npmrc .yarnrc .yarnrc.yml .pypirc .git-credentials .gitcookies .htpasswd .pgpass
    pgpass.conf .my.cnf .mylogin.cnf .s3cfg .passwd-s3fs .boto .dockercfg .dockerconfigjson kubeconfig
    .databrickscfg kaggle.json .modal.toml .vault-token .vault_pass .vault_password vault_pass.txt
    vault-password.txt .terraformrc terraform.rc credentials.tfrc.json rclone.conf .msmtprc .fetchmailrc
    .smbcredentials .ftpconfig .ftppass sftp-config.json sftp.json filezilla.xml sitemanager.xml
    recentservers.xml .bash_history .zsh_history .sh_history .python_history .mysql_history .psql_history
    .sqlite_history .rediscli_history .irb_history credentials credentials.json credentials.yaml credentials.yml
    credentials.toml credentials.ini credentials.csv credentials.xml credentials.db
    application_default_credentials.json accesstokens.json auth.json token.json token.pickle token.pkl secrets
    secrets.yaml secrets.yml secrets.json secrets.toml secrets.ini secrets.txt secrets.xml secret.yaml
    secret.yml secret.json secret.toml secret.txt .secret .secrets passwords.txt passwords.csv password.txt
    passwords.json passwd.txt apikey.txt api_key.txt api_keys.json apikeys.json wp-config.php
    settings-security.xml secring.gpg wallet.dat shadow master.key secret_token.rb
"""
_NAMES = frozenset(_WORDS.split())
_ENDINGS = (
    ".env", ".pem", ".key", ".p12", ".pfx", ".pkcs12", ".p8", ".pk8", ".pvk", ".ppk", ".jks", ".jceks", ".bks",
    ".keystore", ".kdb", ".kdbx", ".keychain", ".keychain-db", ".agilekeychain", ".opvault", ".psafe3", ".keytab",
    ".ovpn", ".tfstate", ".tfvars", ".tfvars.json", ".publishsettings", ".agekey", ".kubeconfig", ".secret",
)  # fmt: skip
_BEGINNINGS = (
    ".env.", ".env-", ".env_", "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "id_xmss", "krb5cc_",
)  # fmt: skip
_JSON_BEGINNINGS = (
    "client_secret", "client-secret", "service-account", "service_account", "serviceaccount", "credentials-",
    "credentials_", "gcp-key", "gcp_key", "gcp-credentials", "gcp_credentials", "google-credentials",
)  # fmt: skip
_INSIDE = (".tfstate.", "firebase-adminsdk")
# Directories, anywhere in the path, in which all is private.
_DIRECTORIES = (
    "/.aws/", "/.azure/", "/.config/gcloud/", "/.gcloud/", "/.ssh/", "/.gnupg/", "/.kube/",
    "/.oci/", "/.chef/", "/.password-store/", "/.vault/",
)  # fmt: skip
_PATHS = (
    "/.docker/config.json", "/.gem/credentials", "/.cargo/credentials", "/.cargo/credentials.toml",
    "/.config/gh/hosts.yml", "/.config/hub", "/.m2/settings.xml", "/.gradle/gradle.properties", "/.bundle/config",
    "/.snowsql/config", "/.snowflake/config.toml", "/.snowflake/connections.toml", "/.fly/config.yml",
    "/.config/doctl/config.yaml", "/.ngrok2/ngrok.yml", "/.huggingface/token", "/huggingface/token",
    "/.mlflow/credentials", "/.dvc/config.local", "/.vnc/passwd", "/.vscode/sftp.json", "/.circleci/cli.yml",
)  # fmt: skip
_PUBLIC = (".pub", ".pub.pem", ".crt.pem")
_COPIES = (
    "~", ".bak", ".backup", ".old", ".orig", ".save", ".copy", ".swp", ".swo", ".tmp", *map(str, range(10)),
)  # fmt: skip

# Compiled where they are first used: few snapshots need them, and each would take longer to begin.
_EXAMPLE = (
    r"(?:^|[._-])(?:examples?|samples?|templates?|dist|tmpl|tpl|schema|j2|jinja2?)(?:[._-]|$)"
)
_COPY = r"(?:~|\.(?:bak|backup|old|orig|save|copy|swp|swo|tmp|\d{1,3})){1,8}\Z"
_NUMBERED = r"(?: ?\(\d{1,3}\)|[ _-]copy)(?=\.|\Z)"
# A private key: the end of the line that begins one, with the key itself behind it. Who writes of keys has the
# former alone.
_KEY_MARKS = (b"PRIVATE KEY", b"PuTTY-User-Key-File-", b"AGE-SECRET-KEY-1")
_KEY_LINE = (
    rb"PRIVATE KEY(?: BLOCK)? ?-----?(?:[ \t\r]{0,4}\n|\\r|\\n)(?:[ \t\r\n#>*+,|'\"/\\]|\\r|\\n|\\t){0,40}"
    rb"(?:[A-Za-z0-9+/=]{6}|Proc-Type:|Comment:|Version:|Charset:|Hash:)"
    rb"|PuTTY-User-Key-File-\d: [a-z]|AGE-SECRET-KEY-1[A-Z0-9]{20}"
)
_KEY_BEGINS = rb"---- ?BEGIN [A-Z0-9 ]{0,40}\Z"
_KEY_BEGINNING = 60


def why_secret_name(path: str, excluded: Iterable[str], included: Iterable[str]) -> str | None:
    """Why a file's name promises a secret: the pattern that it matches; None where it does not.

    Args:
        path: The file, from the top of the work tree.
        excluded: The user's own patterns; with a slash they see the whole path, without one the name.
        included: Patterns of files that are no secrets, whatever they are called; these come first.
    """
    lower = path.lower()
    if _matching(lower, included):
        return None
    return _matching(lower, excluded) or _known(lower)


def is_included(path: str, included: Iterable[str]) -> bool:
    """Whether the user says of a file that it is no secret."""
    return _matching(path.lower(), included) is not None


def holds_private_key(content: bytes | bytearray | memoryview) -> bool:
    """Whether there is a private key in a file's content."""
    if isinstance(content, bytes) and not any(mark in content for mark in _KEY_MARKS):
        return False  # as almost all files
    return any(_is_begun(content, found) for found in re.finditer(_KEY_LINE, content))


def is_private_key(content: bytes, at: int) -> bool:
    """Whether a private key begins at a place where a content says `PRIVATE KEY`, or what PuTTY and age say."""
    found = re.compile(_KEY_LINE).match(content, at)
    return found is not None and _is_begun(content, found)


def _is_begun(content: bytes | bytearray | memoryview, found: re.Match[bytes]) -> bool:
    start = found.start()
    before = content[max(0, start - _KEY_BEGINNING) : start]
    return not found[0].startswith(b"PRIVATE") or bool(re.search(_KEY_BEGINS, before))


def _matching(lower: str, patterns: Iterable[str]) -> str | None:
    name = lower.rpartition("/")[2]
    for pattern in patterns:
        if fnmatchcase(lower if "/" in pattern else name, pattern.lower()):
            return pattern
    return None


def _known(lower: str) -> str | None:
    name = lower.rpartition("/")[2]
    if name.endswith(_COPIES) or ")" in name or "copy" in name:
        name = re.sub(_NUMBERED, "", re.sub(_COPY, "", name))
        if name.startswith(".") and lower.endswith((".swp", ".swo")):  # vim's, of `x`: `.x.swp`
            return _named(name) or _named(name[1:]) or _placed(lower)
    return _named(name) or (_placed(lower) if "/" in lower else None)


def _named(name: str) -> str | None:
    if name in _NAMES:
        return name
    is_json = name.endswith(".json") and name.startswith(_JSON_BEGINNINGS)
    if not (
        is_json
        or name.startswith(_BEGINNINGS)
        or name.endswith(_ENDINGS)
        or any(it in name for it in _INSIDE)
    ):
        return None  # as almost all files
    if re.search(_EXAMPLE, name) or name.endswith(_PUBLIC):
        return None
    for ending in _ENDINGS:
        if name.endswith(ending):
            return f"*{ending}"
    for beginning in (*_BEGINNINGS, *_JSON_BEGINNINGS):
        if name.startswith(beginning):
            return f"{beginning}*"
    return next(f"*{part}*" for part in _INSIDE if part in name)


def _placed(lower: str) -> str | None:
    rooted = f"/{lower}"
    if rooted.endswith(_PUBLIC):
        return None
    if rooted.endswith(_PATHS):
        return next(path[1:] for path in _PATHS if rooted.endswith(path))
    if "/." not in rooted:
        return None
    return next((f"{it[1:]}*" for it in _DIRECTORIES if it in rooted), None)
