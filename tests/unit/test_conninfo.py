"""Connection strings of every client: what is understood, what is refused, what libpq makes of it."""

from __future__ import annotations

from urllib.parse import quote, unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from entrypoint.conninfo import Conninfo, is_sqlite_url, parse_conninfo
from entrypoint.errors import ConfigurationError

AWKWARD = "p:a@s%s/w?d#"
# What a C string can hold and libpq can decode.
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
SCHEMES = st.sampled_from(["postgres://", "postgresql://", "postgresql+asyncpg://", "POSTGRES://"])


def reparse(text: str) -> dict[str, str]:
    """What libpq reads; it makes as many empty ports of hosts without one, which is as good as none."""
    found = {name: str(value) for name, value in conninfo_to_dict(text).items()}
    return {name: value for name, value in found.items() if name != "port" or value.strip(",")}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgres://u:p@h/db", {"host": "h", "user": "u", "password": "p", "dbname": "db"}),
        ("postgresql://h:5433", {"host": "h", "port": "5433"}),
        ("postgresql://", {}),
        ("postgresql:///db", {"dbname": "db"}),
        ("  postgresql://h/db\n", {"host": "h", "dbname": "db"}),
        ("postgresql+asyncpg://u@h/db", {"host": "h", "user": "u", "dbname": "db"}),
        ("postgresql+psycopg2://u@h/db", {"host": "h", "user": "u", "dbname": "db"}),
        ("postgresql+pg8000://u@h/db", {"host": "h", "user": "u", "dbname": "db"}),
        ("postgresql://a:1,b:2/db", {"host": "a,b", "port": "1,2", "dbname": "db"}),
        ("postgresql://a,b:2/db", {"host": "a,b", "port": ",2", "dbname": "db"}),
        ("postgresql://a,b/db?port=6", {"host": "a,b", "port": "6", "dbname": "db"}),
        ("postgresql://u@[::1]:5433/db", {"host": "::1", "port": "5433", "user": "u", "dbname": "db"}),
        ("postgresql://[fe80::1%25eth0]/db", {"host": "fe80::1%eth0", "dbname": "db"}),
        ("postgresql://my_service.internal-1/db", {"host": "my_service.internal-1", "dbname": "db"}),
        ("postgresql://%2Fvar%2Frun%2Fpostgresql/db", {"host": "/var/run/postgresql", "dbname": "db"}),
        ("postgresql:///db?host=/run", {"host": "/run", "dbname": "db"}),
        ("postgresql://localhost/db?host=/cloudsql/a:b:c", {"host": "/cloudsql/a:b:c", "dbname": "db"}),
        ("postgresql:///db?host=a:1&host=b:2", {"host": "a,b", "port": "1,2", "dbname": "db"}),
        ("postgresql://h/db?options=-c%20a%3Db", {"host": "h", "dbname": "db", "options": "-c a=b"}),
        ("postgresql://h/db?application_name=a+b", {"host": "h", "dbname": "db", "application_name": "a+b"}),
        ("jdbc:postgresql://h:1/db?user=u&password=a+b%40", {
            "host": "h", "port": "1", "user": "u", "password": "a b@", "dbname": "db"}),
        ("jdbc:postgresql:db", {"host": "localhost", "dbname": "db"}),
        ("jdbc:postgresql:///db?user=me@corp", {"host": "localhost", "user": "me@corp", "dbname": "db"}),
        ("host=h port=5433 dbname=db", {"host": "h", "port": "5433", "dbname": "db"}),
        (r"host = h password = 'a b\'c\\' user=x\'y", {"host": "h", "password": "a b'c\\", "user": "x'y"}),
        ("password='' host=h", {"host": "h"}),
        ("password=a\u00a0b host=h\n", {"host": "h", "password": "a\u00a0b"}),
    ],
)  # fmt: skip
def test_spelling_is_understood(text: str, expected: dict[str, str]) -> None:
    assert parse_conninfo(text).as_dict() == expected


@pytest.mark.parametrize("scheme", ["postgresql://", "postgresql+psycopg://"])
@pytest.mark.parametrize(
    ("spelled", "password"),
    [
        (quote(AWKWARD, safe=""), AWKWARD),
        ("p@ss@word", "p@ss@word"),
        ("p:a:s", "p:a:s"),
        ("p#a$s!", "p#a$s!"),
        ("100%", "100%"),
        ("50%off%s", "50%off%s"),
        ("a b", "a b"),
        ("пароль", "пароль"),
        ("a+b", "a+b"),
    ],
)
def test_password_is_understood(scheme: str, spelled: str, password: str) -> None:
    found = parse_conninfo(f"{scheme}u:{spelled}@h:5433/db")
    assert found.as_dict() == {"host": "h", "port": "5433", "user": "u", "password": password, "dbname": "db"}
    assert found.password == password
    assert {spelled, password} <= set(found.secrets)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("postgresql://u:12345/secret@h/db", "percent-encode"),
        ("postgresql://u:12345?secret@h/db", "percent-encode"),
        ("postgresql://u:secret/x@h:5432/db", "percent-encode"),
        ("postgresql://u:12345/x?secret@h/db", "percent-encode"),
        ("postgresql://u:12345/x?secret=1@h/db", "percent-encode"),
        ("postgresql://u:1@secret/x@h/db", "percent-encode"),
        ("postgresql://u:sec%ret%40@h/db", "percent-encode"),
        ("postgresql://u:secret%ff@h/db", "percent-encode"),
        ("postgresql://u:secret%00@h/db", "percent-encode"),
        ("jdbc:postgresql://h/db?user=u&password=a&secret", "percent-encode"),
        ("postgresql://h:secret/db", "port"),
        ("postgresql://h:0/db", "port"),
        ("postgresql://h:65536/db", "port"),
        ("postgresql://h:٣/db", "port"),
        ("postgresql://::1/db", "[::1]"),
        ("postgresql://h secret/db", "host"),
        ("postgresql://a,,b/db", "empty"),
        ("postgresql://u@/var/run/secret/db", "?host="),
        ("postgresql://h/db/", "%2F"),
        ("postgresql://a,b,c/db?port=1,2", "ports"),
        ("host=a,b hostaddr=1.2.3.4", "addresses"),
        ("host=h port=secret", "port"),
        ("host=h password=my secret", "quotes"),
        ("host=h password='secret", "quotes"),
        ("'postgresql://h/secret'", "quotation"),
        ('"postgresql://h/secret"', "quotation"),
        ("Host=h;Port=5432;Password=secret", "accepted are"),
        ("Server=secret;", "accepted are"),
        ("postgresql:/h/secret", "accepted are"),
        ("mysql://u:secret@h/db", "accepted are"),
        ("secret", "accepted are"),
        ("", "accepted are"),
        ("postgresql://h/sec\0ret", "UTF-8"),
        ("postgresql://h/secret\udcff", "UTF-8"),
        ("postgresql://h/db?sslmode=secret", "verify-full"),
        ("postgresql://h/db?ssl=secret", "verify-full"),
        ("postgresql://h/db?sslaccept=secret", "strict"),
        ("postgresql://h/db?connect_timeout=secret", "whole number"),
        ("postgresql://h/db?target_session_attrs=secret", "read-write"),
        ("jdbc:postgresql://h/db?targetServerType=secret", "primary"),
        ('jdbc:postgresql://h/db?currentSchema="secret', "quotation mark"),
        ('jdbc:postgresql://h/db?currentSchema="secret"x', "comma"),
    ],
)
def test_refusal_names_remedy_and_no_part_of_the_text(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse_conninfo(text)
    assert said in str(refused.value)
    assert "secret" not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("ssl=true", {"sslmode": "require"}),
        ("ssl=1", {"sslmode": "require"}),
        ("ssl", {"sslmode": "require"}),
        ("ssl=false", {"sslmode": "disable"}),
        ("ssl=verify-full", {"sslmode": "verify-full"}),
        ("ssl=true&sslmode=verify-ca", {"sslmode": "verify-ca"}),
        ("SSLMode=VERIFY-CA", {"sslmode": "verify-ca"}),
        ("sslmode=no-verify&sslrootcert=/c", {"sslmode": "require"}),
        ("ssl=no-verify", {"sslmode": "require"}),
        ("uselibpqcompat=true&sslmode=require", {"sslmode": "require"}),
        ("sslaccept=accept_invalid_certs", {"sslmode": "require"}),
        ("sslmode=prefer&sslaccept=accept_invalid_certs", {"sslmode": "prefer"}),
        ("sslmode=verify-full&sslaccept=accept_invalid_certs", {"sslmode": "require"}),
        ("sslmode=require&sslaccept=strict&sslcert=/c", {"sslmode": "verify-full", "sslrootcert": "/c"}),
        ("sslaccept=strict&sslrootcert=/c", {"sslmode": "verify-full", "sslrootcert": "/c"}),
        ("sslaccept=strict", {"sslmode": "require"}),
        ("sslmode=disable&sslaccept=strict&sslcert=/c", {"sslmode": "disable", "sslrootcert": "/c"}),
        ("sslidentity=/i.p12&sslpassword=x&sslcert=/c", {"sslrootcert": "/c"}),
        ("sslcert=/c&sslkey=/k&connection_limit=1", {"sslcert": "/c", "sslkey": "/k"}),
        ("sslcert=/c", {"sslcert": "/c"}),
        ("targetServerType=primary", {"target_session_attrs": "read-write"}),
        ("targetServerType=preferSecondary", {"target_session_attrs": "prefer-standby"}),
        ("ApplicationName=a%20b&loginTimeout=7", {"application_name": "a b", "connect_timeout": "7"}),
        ("loadBalanceHosts=true&tcpKeepAlive=true", {"load_balance_hosts": "random", "keepalives": "1"}),
        ("connect_timeout=5&connect_timeout=6", {"connect_timeout": "6"}),
        ("connect_timeout=&sslmode=", {}),
    ],
)
def test_parameters_of_other_clients_are_translated(query: str, expected: dict[str, str]) -> None:
    found = parse_conninfo("postgresql://h/db?" + query)
    assert found.as_dict() == {"host": "h", "dbname": "db", **expected}
    assert found.unknown == ()


def test_other_parameters_are_dropped_by_who_knows_them() -> None:
    found = parse_conninfo(
        "postgresql://h/db?connection_limit=5&pool_timeout=2&pgbouncer=true&statement_cache_size=0&sockettimeout=1"
        "&prepared_statement_cache_size=0&command_timeout=3&reWriteBatchedInserts=true&conect_timeout=3"
    )
    assert found.as_dict() == {"host": "h", "dbname": "db"}
    assert found.unknown == ("sockettimeout", "conect_timeout")
    assert found.dropped == (
        "connection_limit", "pool_timeout", "pgbouncer", "statement_cache_size",
        "prepared_statement_cache_size", "command_timeout", "reWriteBatchedInserts",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("schema=public", ("public",)),
        ("schema=My%20App", ("My App",)),
        ("schema=a,b", ("a,b",)),
        ("currentSchema=Shop,public", ("shop", "public")),
        ("currentSchema=%22Shop%22,%22a%22%22b%22,$user", ("Shop", 'a"b', "$user")),
        ("search_path=app", ("app",)),
        ("schema=", ()),
        ("", ()),
    ],
)
def test_schema_sets_the_search_path(query: str, expected: tuple[str, ...]) -> None:
    assert parse_conninfo("postgresql://h/db?" + query).search_path == expected


def test_url_keeps_the_search_path_in_options() -> None:
    found = parse_conninfo("postgresql://h/db?options=-c%20a%3Db&schema=My%20App")
    assert reparse(found.url())["options"] == '-c a=b -c search_path="My\\ App"'
    assert "search_path" not in found.dsn()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://u:p@h:1/db?sslmode=require", "postgresql://u@h:1/db"),
        ("postgresql://u:p@a:1,[::1]:2/db", "postgresql://u@a:1,[::1]:2/db"),
        ("host=/run user=u", "postgresql://u@localhost/?host=/run"),
        ("service=prod password=p", "postgresql:///?service=prod"),
        ("hostaddr=10.0.0.1 dbname='a b'", "postgresql://10.0.0.1/a%20b"),
    ],
)
def test_display_has_no_password(text: str, expected: str) -> None:
    found = parse_conninfo(text)
    assert found.display() == expected
    assert repr(found) == str(found) == f"Conninfo({expected!r})"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql+asyncpg://u@h/db?ssl=require", "postgresql+asyncpg://u@h/db?ssl=require"),
        ("postgresql://u@h/db?schema=app", "postgresql://u@h/db?schema=app"),
        ("host=h user=u dbname=db", "postgresql://u@h/db"),
    ],
)
def test_command_gets_the_url_in_its_own_dialect(text: str, expected: str) -> None:
    assert parse_conninfo(text).command_url() == expected


def test_defaults_fill_gaps_only() -> None:
    found = parse_conninfo("postgresql://h/db").with_defaults(
        {"host": "other", "user": "u", "password": "hunter22"}
    )
    assert found.as_dict() == {"host": "h", "dbname": "db", "user": "u", "password": "hunter22"}
    assert found.secrets == ("hunter22",)
    with pytest.raises(ConfigurationError, match="ports"):
        found.with_defaults({"port": "1,2"})


@pytest.mark.parametrize(
    "text",
    [
        "sqlite:///app/data/a.db", "sqlite:a", "sqlite3:/x", "SQLite:///x", "sqlite+aiosqlite:///x",
        "file:./d", "file:/x?mode=ro", "jdbc:sqlite:/x.db", "/app/data/anything", "./x", "../x", "~/x",
        "data/db.sqlite3", "dev.db", ":memory:", " file:dev.db\n",
    ],
)  # fmt: skip
def test_sqlite_is_recognised(text: str) -> None:
    assert is_sqlite_url(text)


@pytest.mark.parametrize(
    "text",
    [
        "postgres://h/db",
        "postgresql://h/x.db",
        "host=/x.db",
        "jdbc:postgresql:x.db",
        "db",
        "",
        "mysql://h/x.sqlite",
    ],
)
def test_others_are_no_sqlite(text: str) -> None:
    assert not is_sqlite_url(text)


@given(scheme=SCHEMES, user=TEXT, password=TEXT, dbname=TEXT, host=TEXT)
@example(scheme="postgres://", user="u@v", password=AWKWARD, dbname="a/b?c", host="/run/pg")
@example(scheme="postgres://", user="", password="p", dbname="", host=",")
def test_quoted_parts_come_back_and_libpq_agrees(
    scheme: str, user: str, password: str, dbname: str, host: str
) -> None:
    user_part, password_part, host_part, path = (
        quote(part, safe="") for part in (user, password, host, dbname)
    )
    found = parse_conninfo(f"{scheme}{user_part}:{password_part}@{host_part}/{path}")
    parts = {"host": host, "user": user, "password": password, "dbname": dbname}
    assert found.as_dict() == {name: value for name, value in parts.items() if value}
    assert reparse(found.url()) == reparse(found.dsn()) == found.as_dict()
    assert not found.dsn() or parse_conninfo(found.dsn()).as_dict() == found.as_dict()


@given(
    hosts=st.lists(st.sampled_from(["a", "b.example", "::1", "fe80::1%eth0", "/pg"]), min_size=1, max_size=3),
    ports=st.lists(st.integers(1, 65535).map(str), max_size=1) | st.just(["1", "2", "3"]),
    options=TEXT, sslmode=st.sampled_from(["", "require", "verify-full"]), sslrootcert=TEXT,
)  # fmt: skip
def test_written_forms_are_read_back_by_libpq_and_by_us(
    hosts: list[str], ports: list[str], options: str, sslmode: str, sslrootcert: str
) -> None:
    given_parameters = {
        "host": ",".join(hosts), "port": ",".join(ports[: len(hosts)]), "options": options,
        "sslmode": sslmode, "sslrootcert": sslrootcert,
    }  # fmt: skip
    found = Conninfo(parameters=()).with_defaults(given_parameters)
    assert found.as_dict() == {name: value for name, value in given_parameters.items() if value}
    for written in (found.url(), found.dsn()):
        assert reparse(written) == found.as_dict()
        assert parse_conninfo(written).as_dict() == found.as_dict()


@given(name=TEXT.filter(bool))
def test_search_path_survives_its_url(name: str) -> None:
    found = Conninfo(parameters=(("host", "h"),), search_path=(name,))
    option = reparse(found.url())["options"].removeprefix("-c search_path=")
    spelled = option.replace("\\\\", "\0").replace("\\", "").replace("\0", "\\")
    assert spelled in (name, '"' + name.replace('"', '""') + '"')


@given(
    text=st.text(max_size=60) | st.text("postgresql:/@?#[]%,&=' u1", max_size=40).map("postgresql://".__add__)
)
def test_any_text_is_understood_or_refused(text: str) -> None:
    try:
        found = parse_conninfo(text)
    except ConfigurationError:
        return
    assert reparse(found.dsn()) == found.as_dict()
    assert reparse(found.url()) == found.as_dict() or found.search_path


@given(password=st.text("ab1@:#%/?&=", min_size=1, max_size=12))
def test_unencoded_password_never_becomes_another_host(password: str) -> None:
    try:
        found = parse_conninfo(f"postgresql://user:{password}@right.example:5432/app")
    except ConfigurationError:
        return
    assert found.as_dict()["host"] == "right.example"
    assert found.as_dict()["user"] == "user"
    assert found.as_dict()["dbname"] == "app"
    assert found.password in (password, unquote(password))
