"""Made-up credentials of many kinds. They are put together here, so that no scanner takes this file for one of them."""

from __future__ import annotations

import base64
import random
import string

__all__ = ["CREDENTIALS", "HARMLESS", "made_up"]

_RANDOM = random.Random(11)
_ALL = string.ascii_letters + string.digits
_UPPER = string.ascii_uppercase + string.digits
_HEX = "0123456789abcdef"


def made_up(length: int, characters: str = _ALL) -> str:
    """Random characters."""
    return "".join(_RANDOM.choice(characters) for _ in range(length))


def _uuid() -> str:
    return "-".join(made_up(length, _HEX) for length in (8, 4, 4, 4, 12))


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _named(name: str, value: str) -> str:
    return f'{name} = "{value}"'


_KEY = "PRIVATE" + " KEY"

CREDENTIALS = {
    "age": "AGE-SECRET" + "-KEY-1" + made_up(58, _UPPER),
    "airtable": "pat" + made_up(14) + "." + made_up(64, _HEX),
    "anthropic": "sk-ant" + "-api03-" + made_up(93) + "AA",
    "atlassian": "ATATT3" + made_up(186),
    "aws key id": "AKIA" + made_up(16, string.ascii_uppercase + "234567"),
    "aws secret key": _named("aws_secret_access_key", made_up(20) + "/" + made_up(19)),
    "azure client secret": "abc8" + "Q~" + made_up(34),
    "azure storage": "AccountName=x;Account" + "Key=" + _base64(made_up(64)),
    "azure signature": "https://x.blob.core.windows.net/c?sv=2022&" + "sig=" + made_up(43) + "%3D",
    "basic authorization": "Authorization: Basic " + _base64("ada:" + made_up(12)),
    "bearer token": "Authorization: Bearer " + made_up(40),
    "circleci": "CCIPAT_" + made_up(22) + "_" + made_up(40, _HEX),
    "cloudflare": _named("CLOUDFLARE_API_TOKEN", made_up(40)),
    "curl": "curl -u ada:" + made_up(12) + " https://example.com",
    "databricks": "dapi" + made_up(32, _HEX),
    "database": f"postgres://ada:{made_up(12)}@db.internal/x",
    "datadog": _named("DD_API_KEY", made_up(32, _HEX)),
    "digitalocean": "dop_v1_" + made_up(64, _HEX),
    "discord": "MT" + made_up(24) + "." + made_up(6) + "." + made_up(38),
    "discord webhook": f"https://discord.com/api/webhooks/{made_up(18, string.digits)}/{made_up(68)}",
    "docker": "dckr_pat_" + made_up(27),
    "docker config": '{"auths": {"h": {"auth": "' + _base64("ada:" + made_up(16)) + '"}}}',
    "doppler": "dp.pt." + made_up(43),
    "figma": "figd_" + made_up(40),
    "github": "ghp_" + made_up(36),
    "github app": "ghs_" + made_up(36),
    "github fine-grained": "github_pat_" + made_up(22) + "_" + made_up(59),
    "gitlab": "glpat-" + made_up(20),
    "google api key": "AIza" + made_up(35),
    "google client secret": "GOCSPX-" + made_up(28),
    "grafana": "glsa_" + made_up(32) + "_" + made_up(8, _HEX),
    "groq": "gsk_" + made_up(52),
    "heroku": _named("HEROKU_API_KEY", _uuid()),
    "huggingface": "hf_" + made_up(34),
    "json password": '{"user": "ada", "password": "' + made_up(10) + '7!"}',
    "jwt": "eyJ" + made_up(30) + ".eyJ" + made_up(60) + "." + made_up(43),
    "kubeconfig": "    client-key-data: LS0tLS1CRUdJTiB" + "SU0EgUFJJ" + made_up(80),
    "kubernetes secret": "kind: Secret\ndata:\n  pass: " + _base64(made_up(12)),
    "langsmith": "lsv2_pt_" + made_up(32, _HEX) + "_" + made_up(10, _HEX),
    "linear": "lin_api_" + made_up(40),
    "mailchimp": made_up(32, _HEX) + "-us12",
    "mailgun": "key-" + made_up(32, _HEX),
    "netrc": "machine h login ada password " + made_up(12),
    "newrelic": "NRAK-" + made_up(27, _UPPER),
    "notion": "ntn_" + made_up(11, string.digits) + made_up(35),
    "npm": "npm_" + made_up(36),
    "npmrc": "//registry.example.com/:_auth" + "Token=" + made_up(36),
    "openai": "sk-" + made_up(20) + "T3BlbkFJ" + made_up(20),
    "openai project": "sk-proj-" + made_up(60),
    "password": _named("db_password", "hunter" + "2-" + made_up(4)),
    "password in a file": "PASSWORD=" + made_up(10) + "4x",
    "pem": f"-----BEGIN RSA {_KEY}-----\n{made_up(64)}\n-----END RSA {_KEY}-----",
    "pem in json": f'"private_key": "-----BEGIN {_KEY}-----\\n{made_up(64)}"',
    "postman": "PMAK-" + made_up(24, _HEX) + "-" + made_up(34, _HEX),
    "pulumi": "pul-" + made_up(40, _HEX),
    "putty": "PuTTY-User-Key-" + "File-3: ssh-ed25519",
    "pypi": "pypi-AgEIcHlwaS5vcmc" + made_up(60),
    "replicate": "r8_" + made_up(37),
    "sendgrid": "SG." + made_up(22) + "." + made_up(43),
    "sentry": "sntryu_" + made_up(64, _HEX),
    "shopify": "shpat_" + made_up(32, _HEX),
    "slack": "xoxb-" + made_up(12, string.digits) + "-" + made_up(24),
    "slack webhook": "https://hooks.slack.com/services/T"
    + made_up(8, _UPPER)
    + "/B"
    + made_up(8, _UPPER)
    + "/"
    + made_up(24),
    "snowflake": _named("snowflake_password", made_up(14) + "9"),
    "stripe": "sk_live_" + made_up(24),
    "supabase": "sbp_" + made_up(40, _HEX),
    "telegram": made_up(9, string.digits) + ":AA" + made_up(33),
    "terraform": made_up(14) + ".atlasv1." + made_up(64),
    "twilio": "SK" + made_up(32, _HEX),
    "vault": "hvs." + made_up(95),
    "wandb": _named("WANDB_API_KEY", made_up(40, _HEX)),
    "yaml": "api_key: " + made_up(32),
}
"""Text by what it is."""

HARMLESS = (
    "d670460b4b4aece5915caf5c68d12f560a9fe3e4",
    f"{_uuid()} uuid",
    f"sha256:{made_up(64, _HEX)} --hash=sha256:{made_up(64, _HEX)}",
    f'"integrity": "sha512-{made_up(86)}=="',
    f'"image/png": "iVBORw0KGgo{made_up(4000)}"',
    'password = os.environ["DB_PASSWORD"]',
    "password = getpass.getpass()",
    'password="changeme"',
    'token = "<your-token-here>"',
    'API_KEY = "${API_KEY}"',
    "https://user:password@example.com/",
    "https://example.com/a:b@c",
    'f"postgres://ada:{password()}@db/x"',
    "self.pad_token = '[PAD]'; tokenizer.eos_token = '</s>'",
    'cache_key = "users:v2:list"',
    "def authenticate(author, key=None): pass",
    "api_key: Optional[str] = None",
    "public_key = Ed25519PublicKey.from_bytes(data)",
    "AKIA and ghp_ are how they begin",
    "ghp_" + "x" * 36,
    "secret = secrets.token_hex(16)",
    f'if "-----BEGIN {_KEY}-----" in text:',
)
"""What is none, though it looks a little like it."""
