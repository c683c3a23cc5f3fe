"""What the parameters of other PostgreSQL clients mean to libpq.

Owns the list of libpq's own keywords and the tables of everybody else's: Prisma, SQLAlchemy and asyncpg,
JDBC, node-postgres, pgx, Rails. Pure text; must not read the environment nor open anything.

Sources: the PostgreSQL manual, 34.1.2 "Parameter Key Words" and 34.15 "Environment Variables"; Prisma's
"PostgreSQL connection URL" page; pgjdbc's `PGProperty`; `pg-connection-string`'s README.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from entrypoint.errors import ConfigurationError

_SSLMODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")

_KEYWORD_BY_VARIABLE = {
    "PGAPPNAME": "application_name",
    "PGCHANNELBINDING": "channel_binding",
    "PGCLIENTENCODING": "client_encoding",
    "PGCONNECT_TIMEOUT": "connect_timeout",
    "PGDATABASE": "dbname",
    "PGGSSDELEGATION": "gssdelegation",
    "PGGSSENCMODE": "gssencmode",
    "PGGSSLIB": "gsslib",
    "PGHOST": "host",
    "PGHOSTADDR": "hostaddr",
    "PGKRBSRVNAME": "krbsrvname",
    "PGLOADBALANCEHOSTS": "load_balance_hosts",
    "PGMAXPROTOCOLVERSION": "max_protocol_version",
    "PGMINPROTOCOLVERSION": "min_protocol_version",
    "PGOPTIONS": "options",
    "PGPASSFILE": "passfile",
    "PGPASSWORD": "password",
    "PGPORT": "port",
    "PGREQUIREAUTH": "require_auth",
    "PGREQUIREPEER": "requirepeer",
    "PGSERVICE": "service",
    "PGSSLCERT": "sslcert",
    "PGSSLCERTMODE": "sslcertmode",
    "PGSSLCOMPRESSION": "sslcompression",
    "PGSSLCRL": "sslcrl",
    "PGSSLCRLDIR": "sslcrldir",
    "PGSSLKEY": "sslkey",
    "PGSSLMAXPROTOCOLVERSION": "ssl_max_protocol_version",
    "PGSSLMINPROTOCOLVERSION": "ssl_min_protocol_version",
    "PGSSLMODE": "sslmode",
    "PGSSLNEGOTIATION": "sslnegotiation",
    "PGSSLROOTCERT": "sslrootcert",
    "PGSSLSNI": "sslsni",
    "PGTARGETSESSIONATTRS": "target_session_attrs",
    "PGUSER": "user",
}  # fmt: skip
_KEYWORDS_WITHOUT_VARIABLE = frozenset({
    "fallback_application_name", "keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval",
    "oauth_client_id", "oauth_client_secret", "oauth_issuer", "oauth_scope", "replication",
    "scram_client_key", "scram_server_key", "sslkeylogfile", "sslpassword", "tcp_user_timeout",
})  # fmt: skip
LIBPQ_KEYWORDS = frozenset(_KEYWORD_BY_VARIABLE.values()) | _KEYWORDS_WITHOUT_VARIABLE
SECRET_KEYWORDS = ("password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key")

# What libpq would refuse only while connecting, checked here so that it is reported with everything else.
_CHOICES: dict[str, tuple[str, ...]] = {
    "channel_binding": ("disable", "prefer", "require"),
    "gssencmode": ("disable", "prefer", "require"),
    "load_balance_hosts": ("disable", "random"),
    "sslmode": _SSLMODES,
    "sslnegotiation": ("postgres", "direct"),
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
}
_WHOLE_NUMBERS = (
    "connect_timeout", "keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval",
    "tcp_user_timeout",
)  # fmt: skip

# Another client's name for the same thing, with the same values.
_RENAMED = {
    "ApplicationName": "application_name",
    "channelBinding": "channel_binding",
    "connectTimeout": "connect_timeout",
    "database": "dbname",
    "gssEncMode": "gssencmode",
    "kerberosServerName": "krbsrvname",
    "loginTimeout": "connect_timeout",
    "sslNegotiation": "sslnegotiation",
}
_TARGET_SERVER_TYPES = {
    "any": "any", "primary": "read-write", "master": "read-write", "secondary": "standby", "slave": "standby",
    "preferSecondary": "prefer-standby", "preferSlave": "prefer-standby", "preferPrimary": "any",
}  # fmt: skip
# `schema` is one name as it stands (Prisma quotes it); the others are lists as `SET search_path` reads them.
_SEARCH_PATHS = ("currentSchema", "search_path", "schema_search_path")
_TRANSLATED = frozenset(
    {
        *_RENAMED,
        *_SEARCH_PATHS,
        "schema",
        "ssl",
        "sslaccept",
        "targetServerType",
        "loadBalanceHosts",
        "tcpKeepAlive",
    }
)
# Only Prisma writes these; in their company `sslcert` is the root certificate, not the client's.
_PRISMA_ONLY = frozenset(
    {"schema", "connection_limit", "pool_timeout", "pgbouncer", "sslaccept", "sslidentity"}
)

# Known to another client, without meaning for a connection of libpq's: dropped with a debug line.
_FOREIGN = {
    "Prisma": """connection_limit pool_timeout pgbouncer socket_timeout statement_cache_size sslidentity
        max_idle_connection_lifetime max_connection_lifetime single_use_connections""",
    "SQLAlchemy, asyncpg, psycopg, pg8000, Django": """prepared_statement_cache_size command_timeout
        prepared_statement_name_func server_settings timeout max_cached_statement_lifetime autocommit
        max_cacheable_statement_size async_fallback prepare_threshold direct_tls ssl_context tcp_keepalive
        unix_sock executemany_mode pool_size max_overflow pool_recycle pool_pre_ping conn_max_age
        conn_health_checks ssl_require cursor_factory connection_factory timezone""",
    "JDBC": """sslfactory sslfactoryarg sslhostnameverifier sslpasswordcallback sslResponseTimeout
        socketTimeout cancelSignalTimeout reWriteBatchedInserts prepareThreshold preferQueryMode stringtype
        preparedStatementCacheQueries preparedStatementCacheSizeMiB defaultRowFetchSize autosave
        binaryTransfer binaryTransferEnable binaryTransferDisable cleanupSavepoints assumeMinServerVersion
        readOnly readOnlyMode logUnclosedConnections loggerLevel loggerFile protocolVersion
        hostRecheckSeconds socketFactory socketFactoryArg receiveBufferSize sendBufferSize
        maxSendBufferSize maxResultBuffer escapeSyntaxCallMode quoteReturningIdentifiers
        allowEncodingChanges databaseMetadataCacheFields databaseMetadataCacheFieldsMiB
        disableColumnSanitiser adaptiveFetch adaptiveFetchMinimum adaptiveFetchMaximum unknownLength
        authenticationPluginClassName jaasApplicationName jaasLogin useSpnego gssResponseTimeout
        localSocketAddress logServerErrorDetail xmlFactoryFactory groupStartupParameters
        hideUnprivilegedObjects tcpNoDelay PGHOST PGPORT PGDBNAME sspiServiceClass requireAuth""",
    "node-postgres, postgres.js, poolers": """uselibpqcompat max min idleTimeoutMillis idle_timeout
        connectionTimeoutMillis query_timeout statement_timeout lock_timeout keepAlive allowExitOnIdle
        idle_in_transaction_session_timeout dialect prepare workaround supa""",
    "pgx, lib/pq, golang-migrate": """default_query_exec_mode statement_cache_capacity binary_parameters
        description_cache_capacity pool_max_conns pool_min_conns pool_max_conn_lifetime
        pool_max_conn_lifetime_jitter pool_max_conn_idle_time pool_health_check_period krbspn sslinline
        disable_prepared_binary_result TimeZone datestyle x-migrations-table x-migrations-table-quoted
        x-statement-timeout x-multi-statement x-multi-statement-max-size x-lock-strategy x-lock-table""",
    "Rails, Ecto, sqlx": """adapter pool encoding prepared_statements reaping_frequency checkout_timeout
        advisory_locks min_messages variables insert_returning queue_target queue_interval
        statement-cache-capacity application-name""",
}
FOREIGN_KEYWORDS = frozenset(name for names in _FOREIGN.values() for name in names.split()) - LIBPQ_KEYWORDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """Pairs of a connection string, sorted into what libpq takes and what it does not.

    `parameters` are libpq's, each once, none empty; `dropped` are names known to other clients and
    `unknown` names known to nobody, in the order they stood in.
    """

    parameters: dict[str, str]
    search_path: tuple[str, ...]
    dropped: tuple[str, ...]
    unknown: tuple[str, ...]


def is_known(name: str) -> bool:
    """Tell whether `name` is a parameter of libpq's or of another client's."""
    return name in LIBPQ_KEYWORDS or name in FOREIGN_KEYWORDS or name in _TRANSLATED


def read_libpq_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the libpq keywords that `environment`'s PG* variables set; an empty variable sets nothing."""
    return {
        keyword: environment[variable]
        for variable, keyword in _KEYWORD_BY_VARIABLE.items()
        if environment.get(variable)
    }


def translate(pairs: Iterable[tuple[str, str]]) -> Translation:
    """Sort decoded `(name, value)` pairs; the last of two equal names wins, an empty value is none.

    Raises:
        ConfigurationError: a value that libpq would refuse.
    """
    given = {_spell(name): value for name, value in pairs if value or name == "ssl"}
    parameters = {name: value for name, value in given.items() if name in LIBPQ_KEYWORDS}
    for foreign, keyword in _RENAMED.items():
        if foreign in given:
            parameters.setdefault(keyword, given[foreign])
    _translate_tls(given, parameters)
    _translate_hosts(given, parameters)
    _check(parameters)
    return Translation(
        parameters=parameters,
        search_path=_read_search_path(given),
        dropped=tuple(name for name in given if name in FOREIGN_KEYWORDS),
        unknown=tuple(name for name in given if not is_known(name)),
    )


def _spell(name: str) -> str:
    """Return libpq's spelling of its own keyword: `SSLMode` is nobody else's word, and too much to lose."""
    return name.lower() if not is_known(name) and name.lower() in LIBPQ_KEYWORDS else name


def _translate_tls(given: dict[str, str], parameters: dict[str, str]) -> None:
    if "sslmode" in parameters:
        parameters["sslmode"] = parameters["sslmode"].lower()  # JDBC takes any case
    if "sslcert" in parameters and "sslkey" not in parameters and _PRISMA_ONLY & given.keys():
        parameters.setdefault("sslrootcert", parameters.pop("sslcert"))
    if "sslidentity" in given:
        parameters.pop("sslpassword", None)  # it opens the PKCS #12 file that libpq cannot read
    mode = _read_ssl_flag(given["ssl"]) if "ssl" in given else None
    if given.get("sslaccept", "strict") not in ("strict", "accept_invalid_certs"):
        raise ConfigurationError("has a value of sslaccept that is not one of strict, accept_invalid_certs")
    if given.get("sslaccept") == "accept_invalid_certs":
        mode = mode or "require"
        if parameters.get("sslmode", "").startswith("verify-"):
            del parameters["sslmode"]
    elif "sslaccept" in given:
        mode = "verify-full" if "sslrootcert" in parameters else mode or "require"
        if mode == "verify-full" and parameters.get("sslmode") != "disable":
            parameters.pop("sslmode", None)  # `require` beside it says less
    if mode is not None:
        parameters.setdefault("sslmode", mode)
    if parameters.get("sslmode") == "no-verify":
        parameters["sslmode"] = "require"
        parameters.pop("sslrootcert", None)  # beside one, libpq's `require` verifies


def _read_ssl_flag(value: str) -> str:
    """Return the sslmode that `ssl=value` asks for; JDBC's `ssl` without value is `true`.

    `true` is `require`, as libpq's manual (34.1.1.2) has it "for improved compatibility with JDBC".
    """
    word = value.lower()
    if word in ("", "true", "1", "yes", "on"):
        return "require"
    if word in ("false", "0", "no", "off"):
        return "disable"
    return word


def _translate_hosts(given: dict[str, str], parameters: dict[str, str]) -> None:
    if (server_type := given.get("targetServerType")) is not None:
        if server_type not in _TARGET_SERVER_TYPES:
            raise ConfigurationError(
                f"has a targetServerType that is not one of {', '.join(_TARGET_SERVER_TYPES)}"
            )
        parameters.setdefault("target_session_attrs", _TARGET_SERVER_TYPES[server_type])
    if given.get("loadBalanceHosts", "").lower() == "true":
        parameters.setdefault("load_balance_hosts", "random")
    if given.get("tcpKeepAlive", "").lower() == "true":
        parameters.setdefault("keepalives", "1")


def _check(parameters: dict[str, str]) -> None:
    for keyword, choices in _CHOICES.items():
        if keyword in parameters and parameters[keyword] not in choices:
            raise ConfigurationError(f"has a value of {keyword} that is not one of {', '.join(choices)}")
    for keyword in _WHOLE_NUMBERS:
        value = parameters.get(keyword, "0").strip()
        if not (value.removeprefix("-").isdecimal() and value.isascii() and len(value) < 10):
            raise ConfigurationError(f"has a value of {keyword} that is not a whole number")


def _read_search_path(given: dict[str, str]) -> tuple[str, ...]:
    if "schema" in given:
        return (given["schema"],)
    return next((split_identifiers(given[name]) for name in _SEARCH_PATHS if name in given), ())


def split_identifiers(text: str) -> tuple[str, ...]:
    """Split a search path as the server does (`SplitIdentifierString`): quoted names verbatim, others folded.

    >>> split_identifiers('Shop, "My Schema","$user"')
    ('shop', 'My Schema', '$user')
    """
    names: list[str] = []
    rest = text.strip()
    while rest:
        if rest.startswith('"'):
            end = 1
            while (end := rest.find('"', end)) != -1 and rest[end : end + 2] == '""':
                end += 2
            if end == -1:
                raise ConfigurationError("has a quotation mark in its schema that nothing closes")
            name, rest = rest[1:end].replace('""', '"'), rest[end + 1 :].lstrip()
            if rest and not rest.startswith(","):
                raise ConfigurationError("has schema names that no comma separates")
            rest = rest[1:]
        else:
            name, _, rest = rest.partition(",")
            name = name.strip().lower()
        names.append(name)
        rest = rest.lstrip()
    return tuple(name for name in names if name)
