"""What credentials look like: a table of the forms that they have, and of the words that stand before others.

Two kinds of rules. Most services give their tokens a beginning of their own (`_FORMS`); those are found by one look at
each long word of a text. All others are found by what stands before them (`_CONTEXTS`): a name that says secret, an
assignment, and a value that nobody would write for a person to read.

All of it takes linear time, whatever the text is: words are looked up by their first three bytes, contexts by words
that `bytes.find` finds, and each expression is matched at one place and has bounds. Sums of what is read stay with
the caller.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from gitflowrun.git.secret_files import is_private_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

# What a service is called, how its tokens begin (one or several ways), and what follows.
_HEX32, _HEX40, _HEX64 = r"[a-f0-9]{32}", r"[a-f0-9]{40}", r"[a-f0-9]{64}"
_UUID = r"[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}"
_FORMS = (
    ("1password", "A3-", r"[A-Z0-9]{6}-(?:[A-Z0-9]{11}|[A-Z0-9]{6}-[A-Z0-9]{5})(?:-[A-Z0-9]{5}){3}"),
    ("1password", "ops_eyJ", r"[A-Za-z0-9+/]{60}"),
    ("adobe", "p8e-", r"[A-Za-z0-9]{32}"),
    ("age", "AGE-SECRET-KEY-1", r"[A-Za-z0-9]{20}"),
    ("airtable", "pat", r"[A-Za-z0-9]{14}\.[a-f0-9]{64}"),
    ("alibaba", "LTAI", r"[A-Za-z0-9]{16,20}\b"),
    ("anthropic", "sk-ant-", r"[A-Za-z0-9_-]{20}"),
    ("artifactory", "AKC", r"[A-Za-z0-9]{50,90}\b"),
    ("artifactory", "cmVmd", r"[A-Za-z0-9]{59}\b"),
    ("atlassian", "ATATT3 ATCTT3 ATBB", r"[A-Za-z0-9_=-]{24}"),
    ("authress", "sc_ ext_ scauth_ authress_", r"[A-Za-z0-9]{5,30}\.[A-Za-z0-9]{4,6}\.acc[_-][a-z0-9-]{10,32}\.\S{30}"),
    ("aws-access-key", "AKIA ASIA ABIA ACCA A3T", r"[A-Z0-9]{16,17}\b"),
    ("aws-bedrock", "ABSK", r"[A-Za-z0-9+/]{100}"),
    ("aws-bedrock", "bedrock-api-key-", r"[A-Za-z0-9+/=]{20}"),
    ("buildkite", "bkua_", _HEX40),
    ("circleci", "CCIPAT_", r"[A-Za-z0-9]{22}_[a-f0-9]{40}"),
    ("clickhouse", "4b1d", r"[A-Za-z0-9]{38}\b"),
    ("clojars", "CLOJARS_ clojars_", r"[A-Za-z0-9]{60}"),
    ("cloudflare", "v1.0-", r"[a-f0-9]{24}-[a-f0-9]{146}"),
    ("contentful", "CFPAT-", r"[A-Za-z0-9_-]{43}"),
    ("crates.io", "cio", r"[A-Za-z0-9]{32}\b"),
    ("databricks", "dapi", r"[a-f0-9]{32}\b"),
    ("digitalocean", "dop_v1_ doo_v1_ dor_v1_", _HEX64),
    ("discord", "MT Mj Mz ND NT Nj Nz OD OT", r"[A-Za-z0-9_-]{22,26}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,38}"),
    ("docker", "dckr_pat_ dckr_oat_", r"[A-Za-z0-9_-]{27}"),
    ("doppler", "dp.pt. dp.st. dp.ct. dp.sa. dp.scim. dp.audit.", r"(?:[a-z0-9_-]{2,35}\.)?[A-Za-z0-9]{40}"),
    ("dropbox", "sl.", r"(?:[a-z]\.)?[A-Za-z0-9_=-]{130}"),
    ("duffel", "duffel_test_ duffel_live_", r"[A-Za-z0-9_=-]{43}"),
    ("dynatrace", "dt0c01. dt0s01. dt0s02.", r"[A-Za-z0-9]{8,24}\.[A-Za-z0-9]{64}"),
    ("easypost", "EZAK EZTK", r"[A-Za-z0-9]{54}\b"),
    ("facebook", "EAA", r"[A-Za-z0-9]{100}"),
    ("figma", "figd_ figu_", r"[A-Za-z0-9_-]{40}"),
    ("flutterwave", "FLWSECK_TEST- FLWSECK- FLWPUBK_TEST-", r"[A-Ha-h0-9]{12}"),
    ("fly.io", "fo1_ fm1r_ fm1a_ fm2_", r"[A-Za-z0-9_+/-]{43}"),
    ("frame.io", "fio-u-", r"[A-Za-z0-9_=-]{64}"),
    ("gitea", "gta_", r"[a-f0-9]{40}"),
    ("github", "ghp_ gho_ ghu_ ghs_ ghr_", r"[A-Za-z0-9]{36}"),
    ("github", "github_pat_", r"[A-Za-z0-9_]{50}"),
    ("gitlab", "glpat- gldt- glrt- glcbt- glptt- glft- glimt- glagent- gloas- glsoat- glffct- glwt-", r"[\w-]{20}"),
    ("gitlab", "GR1348941", r"[A-Za-z0-9_-]{20}"),
    ("gitlab", "_gitlab_session", r"=[a-z0-9]{32}"),
    ("google", "AIza", r"[A-Za-z0-9_-]{35}"),
    ("google", "GOCSPX-", r"[A-Za-z0-9_-]{28}"),
    ("google", "ya29.", r"[A-Za-z0-9_-]{20}"),
    ("grafana", "glsa_", r"[A-Za-z0-9]{32}_[A-Fa-f0-9]{8}"),
    ("grafana", "glc_", r"[A-Za-z0-9+/]{32}"),
    ("grafana", "eyJrIjoi", r"[A-Za-z0-9]{60}"),
    ("groq", "gsk_", r"[A-Za-z0-9]{52}"),
    ("harness", "pat. sat.", r"[A-Za-z0-9_-]{22}\.[A-Za-z0-9]{24}\.[A-Za-z0-9]{20}"),
    ("heroku", "HRKU-AA", r"[A-Za-z0-9_-]{58}"),
    ("huggingface", "hf_ api_org_", r"[A-Za-z0-9]{34}"),
    ("infracost", "ico-", r"[A-Za-z0-9]{32}\b"),
    ("intra42", "s-s4t2ud- s-s4t2af-", _HEX64),
    ("jwt", "eyJ", r"[A-Za-z0-9_-]{14,4000}\.eyJ[A-Za-z0-9_-]{10,16000}\.[A-Za-z0-9_-]{10}"),
    ("jwt", "ZXlK", r"[A-Za-z0-9+/]{60}"),
    ("langsmith", "lsv2_pt_ lsv2_sk_", r"[a-f0-9]{32}_[a-f0-9]{10}"),
    ("langfuse", "sk-lf-", _UUID),
    ("launchdarkly", "api- sdk-", _UUID),
    ("linear", "lin_api_ lin_oauth_", r"[A-Za-z0-9]{40}"),
    ("lob", "live_ test_", r"[a-f0-9]{35}\b"),
    ("mailgun", "key-", r"[a-f0-9]{32}\b"),
    ("mapbox", "sk.eyJ pk.eyJ", r"[A-Za-z0-9_-]{40,200}\.[A-Za-z0-9_-]{22}"),
    ("mongodb", "mdb_sa_sk_", r"[A-Za-z0-9_-]{40}"),
    ("netlify", "nfp_", r"[A-Za-z0-9]{36}"),
    ("newrelic", "NRAK- NRII- NRRA- NRJS- NRSP-", r"[A-Za-z0-9-]{19}"),
    ("notion", "ntn_", r"[0-9]{11}[A-Za-z0-9]{35}"),
    ("notion", "secret_", r"[A-Za-z0-9]{43}\b"),
    ("npm", "npm_", r"[A-Za-z0-9]{36}"),
    ("nuget", "oy2", r"[a-z0-9]{43}\b"),
    ("nvidia", "nvapi-", r"[A-Za-z0-9_-]{60}"),
    ("octopus", "API-", r"[A-Z0-9]{26}\b"),
    ("openai", "sk-proj- sk-svcacct- sk-admin- sk-None-", r"[A-Za-z0-9_-]{20}"),
    ("openai", "sk-or-v1-", _HEX64),
    ("openai", "sk-", r"(?:[A-Za-z0-9_-]{0,120}T3BlbkFJ[A-Za-z0-9_-]{20}|[A-Za-z0-9]{32,64}\b)"),
    ("openshift", "sha256~", r"[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])"),
    ("perplexity", "pplx-", r"[A-Za-z0-9]{48}"),
    ("pinecone", "pcsk_", r"[A-Za-z0-9_]{40}"),
    ("plaid", "access-sandbox- access-development- access-production-", _UUID),
    ("planetscale", "pscale_tkn_ pscale_oauth_ pscale_pw_", r"[A-Za-z0-9_=.-]{32}"),
    ("postman", "PMAK-", r"[a-fA-F0-9]{24}-[a-fA-F0-9]{34}"),
    ("prefect", "pnu_ pnb_", r"[A-Za-z0-9]{36}"),
    ("pulumi", "pul-", _HEX40),
    ("putty", "PuTTY-User-Key-File-", r"\d: [a-z]"),
    ("pypi", "pypi-AgE", r"[A-Za-z0-9_-]{50}"),
    ("readme", "rdme_", r"[a-z0-9]{70}"),
    ("replicate", "r8_", r"[A-Za-z0-9]{37}"),
    ("rubygems", "rubygems_", r"[a-f0-9]{48}"),
    ("scalingo", "tk-us-", r"[A-Za-z0-9_-]{48}"),
    ("sendgrid", "SG.", r"[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{16,64}"),
    ("sendgrid", "SG.", r"[A-Za-z0-9=_.-]{66}"),
    ("sendinblue", "xkeysib-", r"[a-f0-9]{64}-[A-Za-z0-9]{16}"),
    ("sentry", "sntrys_", r"[A-Za-z0-9+/=_]{60}"),
    ("sentry", "sntryu_", _HEX64),
    ("settlemint", "sm_aat_ sm_pat_ sm_sat_", r"[A-Za-z0-9]{16}"),
    ("shippo", "shippo_live_ shippo_test_", r"[a-fA-F0-9]{40}"),
    ("shopify", "shpat_ shpca_ shppa_ shpss_", r"[a-fA-F0-9]{32}"),
    ("slack", "xoxb- xoxp- xoxa- xoxr- xoxs- xoxo- xoxe- xoxe.xoxb- xoxe.xoxp- xoxd- xoxc-", r"[A-Za-z0-9%-]{10}"),
    ("slack", "xapp-", r"\d-[A-Za-z0-9]{5,80}-\d{5,80}-[A-Za-z0-9]{10}"),
    ("sonar", "squ_ sqp_ sqa_", r"[a-f0-9]{40}"),
    ("sourcegraph", "sgp_", r"(?:[a-fA-F0-9]{16}_|local_)?[a-fA-F0-9]{40}"),
    ("square", "EAAA", r"[A-Za-z0-9_-]{22,60}\b"),
    ("square", "sq0atp- sq0csp- sq0idp-", r"[A-Za-z0-9_-]{22}"),
    ("stripe", "sk_live_ sk_test_ sk_prod_ rk_live_ rk_test_ rk_prod_", r"[A-Za-z0-9]{10}"),
    ("stripe", "whsec_", r"[A-Za-z0-9+/]{24}"),
    ("supabase", "sbp_", _HEX40),
    ("supabase", "sb_secret_", r"[A-Za-z0-9_-]{20}"),
    ("tailscale", "tskey-", r"[a-z]{3,10}-[A-Za-z0-9-]{10}"),
    ("telegram", "AA", r"(?<=[0-9]:AA)[A-Za-z0-9_-]{32,34}(?![A-Za-z0-9_-])"),
    ("tencent", "AKID", r"[A-Za-z0-9]{32}\b"),
    ("twilio", "SK", r"[0-9a-fA-F]{32}\b"),
    ("typeform", "tfp_", r"[A-Za-z0-9_.=-]{50}"),
    ("vault", "hvs. hvb. hvr.", r"[A-Za-z0-9_-]{24}"),
    ("vault", "s.", r"(?=[A-Za-z]{0,23}\d)[A-Za-z0-9]{24}\b"),
    ("weights-and-biases", "wandb_v1_", r"[A-Za-z0-9_]{40}"),
    ("private-key", "LS0tLS1CRUdJTiB", r"(?:QUklWQVRF|SU0EgUFJJ|FQyBQUklW|PUEVOU1NIIFBSSVZB|FTkNSWVBURUQgUFJJ)"),
    ("x.ai", "xai-", r"[A-Za-z0-9]{70}"),
    ("yandex", "AQVN", r"[A-Za-z0-9_-]{35,38}\b"),
    ("yandex", "t1.", r"[A-Za-z0-9_=-]{2,200}\.[A-Za-z0-9_-]{86}"),
)  # fmt: skip

# Forms without a beginning: what stands within them, how far from their beginning, and the whole.
_SHAPES = (
    ("azure-client-secret", "Q~", 4, r"[A-Za-z0-9_~.]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34}"),
    ("mailchimp", "-us", 32, r"[a-z0-9]{32}-us[0-9]{1,2}"),
    ("maxmind", "_mmk", 36, r"[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk"),
    ("terraform", ".atlasv1.", 14, r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,70}"),
)
_SIGNATURE = re.compile(rb"[?&]sig=[A-Za-z0-9%+/]{30,100}(?![A-Za-z0-9])")
# Within addresses, from `://` on.
_URLS = (
    (
        "url-password",
        r"://(?P<user>[^\s/:@\"'<>`\\]{0,80}):(?!(?P=user)@)(?P<value>[^\s/@\"'<>`\\]{3,100})@[A-Za-z0-9\[]",
    ),
    (
        "slack-webhook",
        r"://hooks\.slack\.com/(?:services|workflows|triggers)/(?P<value>[A-Za-z0-9+/]{20,80})",
    ),
    (
        "discord-webhook",
        r"://(?:\w{1,10}\.)?discord(?:app)?\.com/api/webhooks/\d{10,25}/(?P<value>[\w-]{30,100})",
    ),
    (
        "teams-webhook",
        r"://[a-z0-9]{1,40}\.webhook\.office\.com/webhookb2/(?P<value>[a-z0-9@-]{40,100})",
    ),
    ("telegram", r"://api\.telegram\.org/bot(?P<value>\d{5,16}:[\w-]{30,50})"),
)

# Words that say secret, in lower case, and the rule where they do.
_PASSWORDS = ("pass", "pwd")
_NAMES = (*_PASSWORDS, "secret", "token", "key", "cred", "auth", "bearer ")
_OTHERS = ("://", "curl")
_PRIVATE = b"private "
# What stands before `key` where that is no key of a dictionary.
_KEY_OF = tuple(
    b"access account admin api app application auth client consumer customer deploy encrypt encryption hmac license "
    b"master personal private secret service shared sharedaccess signing storage subscription user webhook".split()
)
_LONGEST_OF = 20
_WORD = frozenset(bytes([code]) for code in range(33, 127))
_JOINTS = (b"_", b".", b" ", b"-")
_AUTHOR = re.compile(rb"or(?!i[sz])")
# Before a value in a header.
_SCHEME = rb"(?:[Bb]asic|[Bb]earer|BASIC|BEARER|[Tt]oken|[Dd]igest|[Aa]pi[Kk]ey)[ \t]{1,4}"
_PASS = re.compile(rb"[\"'_-]pass(?![a-z0-9_])")
# Between a name that says secret and the value. A type may stand there, as `password: str = "..."`.
_ASSIGNED = re.compile(
    rb"(?P<name>[A-Za-z0-9_.-]{0,40})"
    rb"(?:(?:\\?[\"'`]|[\]\)]){0,4}[ \t]{0,8}"
    rb"(?::[ \t]{0,4}[A-Za-z_][A-Za-z0-9_.\[\]| ]{0,40}=|"
    rb"[:?]?={1,2}>?|:{1,2}|>|(?P<comma>,)|\|\||value[ \t]{0,4}=)[ \t]{0,8}[bru]?"
    rb"(?P<quote>(?:\\?[\"'`]){0,3}))"
    rb"(?:" + _SCHEME + rb")?"
    rb"(?P<value>[^\s\"'`<>\x00-\x1f\x7f-\xff]{6,200})"
)
# The same where the name is an option of a command, also in a list of words, or where the value has the next line to
# itself, as in YAML.
_OPTION = re.compile(rb"(?:\A|[\s\"'`=\[(,])--?[a-z0-9_-]{0,40}\Z")
_TO_OPTION = re.compile(
    rb"(?P<name>[A-Za-z0-9_-]{0,40})(?:[\"'],?)?[ \t]{1,8}(?P<comma>)(?P<quote>[\"'`]?)"
    rb"(?P<value>[^\s\"'`<>\x00-\x1f\x7f-\xff-][^\s\"'`<>\x00-\x1f\x7f-\xff]{5,199})"
)
_BELOW = re.compile(
    rb"(?P<name>[A-Za-z0-9_.-]{0,40})[\"']?:[ \t]{0,4}(?:[>|][+-]?)?[ \t]{0,4}\r?\n[ \t]{1,40}"
    rb"(?P<comma>)(?P<quote>[\"']?)(?P<value>[^\s\"'`<>\x00-\x1f\x7f-\xff]{6,200})[\"']?[ \t]{0,4}\r?(?:\n|\Z)"
)
# The same in a table without lines, as data frames are printed: a name in a row before its value, which ends the line,
# or above its column, whose values end where it ends. A table in a record begins behind the length of its text.
_IN_ROW = re.compile(
    rb"[A-Za-z0-9_.-]{0,40}[ \t]{2,60}(?P<value>[^\s\"'`<>\x00-\x1f\x7f-\xff]{6,200})[ \t]{0,4}(?:\r?\n|[\x80-\xff]|\Z)"
)
_ABOVE = re.compile(rb"[A-Za-z0-9_.-]{0,40}(?=[ \t]{2}|[ \t]{0,4}\r?\n)")
_CELL_BEFORE = re.compile(
    rb"(?:\A|\n|\xd9.|[\xa0-\xbf]|\xda..)(?P<line>(?:[ -~\t]{0,400}[ \t]{2})?[ \t]{0,60}[a-z0-9_.-]{0,40})\Z",
    re.DOTALL,
)
_BY_CELLS = re.compile(rb"[A-Za-z0-9_.-]{0,40}(?:[ \t]{2}|[ \t]{0,4}\r?\n)")
_CELL = re.compile(rb"[^\s\"'`<>\x00-\x1f\x7f-\xff]{6,200}\Z")
_LINE_BEFORE = 460
_ROWS_BELOW = 4
_BEARER = re.compile(rb"(?P<name>)(?P<comma>)(?P<quote>)(?P<value>[A-Za-z0-9_.=+/~-]{16,200})")
# The same in msgpack and, behind the end of a text that is kept for later, in pickles: the length of the value, which
# has any characters but spaces and controls.
_PACKED = re.compile(
    rb"[A-Za-z0-9_.-]{0,40}"
    rb"(?:(?P<tiny>[\xa6-\xbf])|[\xc4\xd9](?P<byte>.)|[\xc5\xda](?P<big>..)"
    rb"|(?:\x94|q.|r.{4})(?:[\x8cCU](?P<short>.)|[BX](?P<little>.{2}\0\0)))"
    rb"(?:" + _SCHEME + rb")?",
    re.DOTALL,
)
_PACKED_VALUE = re.compile(rb"[^\s\x00-\x1f\x7f]{6,200}")
_LOGIN = re.compile(rb"w[a-z]{2,4}[ \t\r\n]{1,4}(?P<value>[^\s#]{3,100})")
_CURL = re.compile(
    rb"curl\b[^\n]{0,300}?[ \t](?:-u|--user)[ =]{1,2}[\"']?[^\s:\"'$]{1,64}:(?P<value>[^\s\"'$]{3,100})"
)
_MANIFEST = re.compile(
    rb"secret\b[^\0]{0,300}?\n(?:string)?data:\s{1,20}[\w.-]{1,60}:[ \t]{1,4}[\"']?"
    rb"(?P<value>[A-Za-z0-9+/]{8,200}={0,2})",
    re.IGNORECASE,
)
_KIND = re.compile(rb"kind:[ \t]{0,4}[\"']?\Z")

# Values that stand for one.
_PLACEHOLDER = re.compile(
    rb"(?i)\$\{|\$\(|\{\{|\{[^{}]{1,60}\}|%\(|%s|^\$[a-z_]|^%[a-z_]+%|^@|x{5}|\*{3}|\.{3}|<|^\(|^\[|^#|change.?me|"
    rb"your.{0,3}(?:api|key|pass|token|secret)|placeholder|example|redacted|dummy|^(?:https?|file)://|^/[a-z]+/|"
    rb"pass(?:word|wd|phrase)|secret_?key|api_?key|access_?token|0123456789|1234567890|abcdefgh|"
    rb"^(?:none|null|true|false|undefined|self\.|os\.|process\.|config\.|settings\.)"
)
_PLACEHOLDER_PASSWORDS = frozenset(
    b"pass password passwd pwd pw secret token test foo bar baz guest root admin user xxx key pswd mypass".split()
)
_CODE = re.compile(rb"[()\[\]{},;]")
_DIGIT, _LETTER = re.compile(rb"[0-9]"), re.compile(rb"[A-Za-z]")
_JUDGED = 80
"""Bytes of a value by which it is judged."""
_OPTION_BEFORE = 44
_LONGEST_VALUE = 200
"""Bytes of a value that are looked at."""
_NEVER = 9.0
_PLAIN = re.compile(rb"[A-Za-z0-9_.=+/~:!@#$%^&*?-]+\Z")
_SYMBOL = re.compile(rb"[^A-Za-z0-9_.\s-]")
_HEXADECIMAL = re.compile(rb"[a-fA-F0-9-]+\Z")
_RUN = re.compile(rb"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")
"""What a name consists of: words, capitals, numbers. In random characters these are short."""

_KEYED_HASH = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{32}")
"""What the record of a run holds of a secret parameter in place of its value."""

_MARKS = bytes(
    ord("w" if chr(code).isascii() and (chr(code).isalnum() or chr(code) in "_.~-") else " ")
    for code in range(256)
)
"""Of each byte, whether it may be one of a word."""
_SHORTEST_WORD = 15
_LONG = b"w" * _SHORTEST_WORD
_SHAPED = 36
"""Bytes that a word of any of `_SHAPES` has at least."""
_LONG_WORD = 400
_OWN_BEGINNING = 4


class Found(NamedTuple):
    """A secret in some bytes: where it begins and ends, and the rule that says so."""

    start: int
    end: int
    rule: str


def find_secrets(data: bytes) -> Iterator[Found]:
    """What looks like secrets in some bytes, in no order; one may be found by several rules."""
    yield from _by_form(data)
    yield from _by_context(data, data.lower())


def says_secret(text: bytes) -> bool:
    """Whether a text has a word in it that names of secrets have."""
    lower = text.lower()
    return any(word.encode() in lower for word in _NAMES)


class _Form(NamedTuple):
    name: str
    beginning: bytes
    rest: str

    @property
    def pattern(self) -> re.Pattern[bytes]:
        """Compiled once it is needed: few forms are met, and all of them take 20 ms."""
        return _compiled(self.beginning, self.rest)


@cache
def _compiled(beginning: bytes, rest: str) -> re.Pattern[bytes]:
    return re.compile(re.escape(beginning) + rest.encode())


@cache
def _forms() -> Mapping[bytes, list[_Form]]:
    """The forms by their first three bytes; by two, where they have no more."""
    found: dict[bytes, list[_Form]] = {}
    for name, beginnings, rest in _FORMS:
        for beginning in beginnings.encode().split():
            found.setdefault(beginning[:3], []).append(_Form(name, beginning, rest))
    return found


@cache
def _shapes() -> list[tuple[str, bytes, int, re.Pattern[bytes]]]:
    return [
        (name, part.encode(), before, re.compile(rest.encode() + rb"(?![A-Za-z0-9])"))
        for name, part, before, rest in _SHAPES
    ]


@cache
def _addresses() -> list[tuple[str, re.Pattern[bytes]]]:
    return [(name, re.compile(rest.encode())) for name, rest in _URLS]


def _by_form(data: bytes) -> Iterator[Found]:
    forms = _forms()
    # `find` goes over the many short words four times as fast as anything that makes a list of them.
    marks = data.translate(_MARKS)
    start = marks.find(_LONG)
    while start >= 0:
        end = marks.find(b" ", start + _SHORTEST_WORD)
        if end < 0:
            end = len(data)
        if (
            end - start >= _SHAPED
            or data[start : start + 3] in forms
            or data[start + 1 : start + 4] in forms
            or data[start : start + 2] in forms
        ):
            yield from _in_word(data, start, end)
        start = marks.find(_LONG, end)
    for at in _places(data, b"sig="):
        match = _SIGNATURE.match(data, max(0, at - 1))
        if match:
            yield Found(*match.span(), "azure-signature")


def _in_word(data: bytes, start: int, end: int) -> Iterator[Found]:
    """What has a form in a long word: at its beginning, behind a byte that is none of its own, or anywhere."""
    forms = _forms()
    three, two = data[start : start + 3], data[start : start + 2]
    yield from _formed(data, start, (*forms.get(three, ()), *forms.get(two, ())))
    glued = forms.get(data[start + 1 : start + 4])
    if glued and _is_glued(data, start):
        yield from _formed(data, start + 1, glued)
    if end - start >= _SHAPED:
        yield from _shaped(data, start, end)
    if end - start > _LONG_WORD:
        yield from _within(data, data[start:end], start)


def _shaped(data: bytes, start: int, end: int) -> Iterator[Found]:
    """What has a form without a beginning, in a long word."""
    for name, part, before, pattern in _shapes():
        at = data.find(part, start, end)
        while at >= 0:
            match = pattern.match(data, max(0, at - before))
            if match:
                yield Found(*match.span(), name)
            at = data.find(part, at + len(part), end)


def _within(data: bytes, word: bytes, position: int) -> Iterator[Found]:
    """Tokens in the middle of a long word: the texts of a column lie there without anything between them."""
    if b"_" not in word and b"-" not in word:
        return  # as pictures in base64
    for form in itertools.chain.from_iterable(_forms().values()):
        if len(form.beginning) >= _OWN_BEGINNING and (
            b"_" in form.beginning or b"-" in form.beginning
        ):
            for at in _places(word, form.beginning):
                yield from _formed(data, position + at, (form,))


def _is_glued(data: bytes, position: int) -> bool:
    """Whether the first byte of a word is none of its own: of an escape, or the length of a text in a record."""
    before = data[position - 1 : position]
    return before == b"\\" or not (before.isspace() or (before.isascii() and before > b" "))


def _formed(data: bytes, position: int, forms: Iterable[_Form]) -> Iterator[Found]:
    for form in forms:
        if not data.startswith(form.beginning, position):
            continue
        match = form.pattern.match(data, position)
        if match and _entropy(match[0]) >= 2.5:  # noqa: PLR2004
            yield Found(position, match.end(), form.name)


def _by_context(data: bytes, lower: bytes) -> Iterator[Found]:
    for word in _NAMES:
        for at in _places(lower, word.encode()):
            found = _assigned(data, lower, at, word)
            if found:
                yield found
            before = max(0, at - len(_PRIVATE))
            if (
                word == "key"
                and lower.startswith(_PRIVATE, before)
                and is_private_key(data, before)
            ):
                yield Found(before, at + len(word), "private-key")
    for word in _OTHERS:
        for at in _places(lower, word.encode()):
            yield from _other(data, at, word)


def _places(data: bytes, word: bytes) -> Iterator[int]:
    at = data.find(word)
    while at >= 0:
        yield at
        at = data.find(word, at + len(word))


def _assigned(data: bytes, lower: bytes, at: int, word: str) -> Found | None:
    """The value that is given to a name which says secret; `at` is where the word begins in that name."""
    end = at + len(word)
    is_password = word == "pass" and lower.startswith((b"w", b"phrase"), end)
    if (
        (word == "key" and not _is_of_what(lower, at))
        or (word == "auth" and _AUTHOR.match(lower, end))
        or (word == "pass" and not (is_password or _PASS.match(lower, max(0, at - 1))))
    ):
        return None
    if word == "secret" and _KIND.search(lower[max(0, at - 12) : at]):
        match = _MANIFEST.match(data, at)
        return Found(*match.span("value"), "kubernetes-secret") if match else None
    packed = _packed(data, end) if word != "bearer " else None
    if packed:
        return _judged(word, *packed, is_quoted=True, is_listed=False)
    match = (_BEARER if word == "bearer " else _ASSIGNED).match(data, end)
    if match is None or (match["comma"] and word != "bearer "):
        is_option = _OPTION.search(lower[max(0, at - _OPTION_BEFORE) : at])
        match = (_TO_OPTION if is_option else _BELOW).match(data, end) or match
    if match is None:
        before = lower[max(0, at - 200) : at]
        match = (
            _LOGIN.match(data, end)
            if is_password and (b"login " in before or b"machine " in before)
            else None
        )
        if match and not _is_placeholder(match["value"]):
            return Found(*match.span("value"), "netrc")
        cells = _cells(data, lower, at, end) if _BY_CELLS.match(data, end) else ()
        found = (_judged(word, *cell, is_quoted=False, is_listed=False) for cell in cells)
        return next(filter(None, found), None)
    value = match["value"]
    if not match["quote"] or word == "bearer ":
        value = value.rstrip(b",;)]}")
    value = value.partition(b"\\")[0]
    is_quoted, is_listed = bool(match["quote"]), bool(match["comma"])
    return _judged(word, match.start("value"), value, is_quoted=is_quoted, is_listed=is_listed)


def _cells(data: bytes, lower: bytes, at: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Values in a table that are beside or below a name; `at` and `end` are of the word in it."""
    row, above = _IN_ROW.match(data, end), _ABOVE.match(data, end)
    before = _CELL_BEFORE.search(lower[max(0, at - _LINE_BEFORE) : at]) if row or above else None
    if before is None:
        return
    if row:
        yield row.start("value"), row["value"]
    if above:
        width = len(before["line"]) + above.end() - at
        line = above.end()
        for _ in range(_ROWS_BELOW):
            line = data.find(b"\n", line, line + _LINE_BEFORE) + 1
            if not line:
                return
            text = data[line : line + width]
            cell = text.rpartition(b" ")[2]
            if (
                len(text) == width
                and _CELL.match(cell)
                and data[line + width : line + width + 1] not in _WORD
            ):
                yield line + width - len(cell), cell


def _is_of_what(lower: bytes, at: int) -> bool:
    """Whether there stands, before `key`, what it is the key of."""
    end = at - 1 if lower[at - 1 : at] in _JOINTS else at
    return lower.endswith(_KEY_OF, max(0, end - _LONGEST_OF), end)


def _packed(data: bytes, end: int) -> tuple[int, bytes] | None:
    """Where the value stands behind a name that ends there, and what of it is judged, in msgpack or a pickle."""
    match = _PACKED.match(data, end)
    if match is None:
        return None
    if match["tiny"]:
        size = match["tiny"][0] - 0xA0
    else:
        length = match["little"] or match["byte"] or match["short"] or match["big"]
        size = int.from_bytes(length, "little" if match["little"] else "big")
    begin = match.end(match.lastgroup or 0)
    value = data[match.end() : begin + min(size, _LONGEST_VALUE)]
    is_value = _PACKED_VALUE.fullmatch(value) and not _KEYED_HASH.fullmatch(value)
    return (match.end(), value) if is_value else None


def _judged(
    word: str, start: int, value: bytes, *, is_quoted: bool, is_listed: bool
) -> Found | None:
    """A value that is given to a name with this word in it, if it may be a secret.

    Args:
        word: The word.
        start: Where the value begins.
        value: The value.
        is_quoted: Whether it is known where it ends.
        is_listed: Whether no more than a comma is between the name and it.
    """
    if word in _PASSWORDS or (word == "secret" and is_quoted):
        name = "password"
        good = not is_listed and _is_password(value, is_quoted=is_quoted)
    else:
        name = f"{word.strip()}-in-a-name" if word != "bearer " else "authorization"
        trusted = (is_quoted and not is_listed) or word == "bearer "
        good = _is_random(value, is_quoted=trusted)
    return Found(start, start + len(value), name) if good else None


def _other(data: bytes, at: int, word: str) -> Iterator[Found]:
    if word == "://":
        for name, pattern in _addresses():
            match = pattern.match(data, at)
            if match and not (name == "url-password" and _is_placeholder(match["value"])):
                yield Found(*match.span("value"), name)
    else:
        match = _CURL.match(data, at)
        if match and not _is_placeholder(match["value"]):
            yield Found(*match.span("value"), "curl-user")


def _is_password(value: bytes, *, is_quoted: bool) -> bool:
    """Whether a value may be a password, which people make: no word, and no expression of a program."""
    value = value[:_JUDGED]
    digit, letter = bool(_DIGIT.search(value)), bool(_LETTER.search(value))
    if len(value) < 6 or not letter or not (digit or (is_quoted and _SYMBOL.search(value))):  # noqa: PLR2004
        return False
    if not is_quoted and _CODE.search(value):
        return False
    return _entropy(value) >= (2.2 if is_quoted else 2.5) and not _is_placeholder(value)


def _is_random(value: bytes, *, is_quoted: bool) -> bool:
    """Whether a value is one that no person would write: long, mixed, and no words."""
    value = value[:_JUDGED]
    if (
        len(value) < (10 if is_quoted else 16)
        or not _DIGIT.search(value)
        or not _LETTER.search(value)
    ):
        return False
    runs = _RUN.findall(value)
    if not _PLAIN.match(value) or sum(map(len, runs)) > len(runs) * (5 if is_quoted else 3):
        return False
    least = 3.0 if is_quoted else 3.5
    if _HEXADECIMAL.match(value):
        least = 2.8 if len(value) >= 16 else _NEVER  # noqa: PLR2004
    return _entropy(value) >= least and not _is_placeholder(value)


def _is_placeholder(value: bytes) -> bool:
    return value.lower() in _PLACEHOLDER_PASSWORDS or bool(_PLACEHOLDER.search(value))


def _entropy(text: bytes) -> float:
    """Bits a byte, as the frequencies of bytes say."""
    size = len(text)
    return -sum(n / size * math.log2(n / size) for n in Counter(text).values()) if size else 0.0
