"""A database that cannot be reached: the one thing that is wrong, in plain words, and never a password."""

import pytest
from psycopg import conninfo

from reembed.database import connection, reaching
from reembed.database.connection import NotALibpqUrl


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("verysecret", "it does not begin with postgresql://"),
        ("mysql://me:verysecret@host/rag", "it does not begin with postgresql://"),
        ("postgresql://me:very secret@host/rag", "a space in it has to be written as %20"),
        ("postgresql://me:verysecret%zz@host/rag", "a percent sign in it has to be written as %25"),
        ("postgresql://me:verysecret%00@host/rag", "a percent sign in it has to be written as %25"),
        ("postgresql://me:verysecret@[::1/rag", "the square brackets around its host are not in order"),
        ("postgresql://me:verysecret@[]/rag", "the square brackets around its host are not in order"),
        ("postgresql://me:verysecret@[::1]x/rag", "what follows its host is neither a port nor a database"),
        (
            "postgresql://me:verysecret@host/rag?verysecret",
            "what follows its question mark is no option of libpq's",
        ),
        ("postgresql://me@host/rag?secret=very", "what follows its question mark is no option of libpq's"),
        ("host=here secret=very", "it names an option that libpq does not have"),
        ("password='verysecret", "a quote in it is not closed"),
    ],
)
def test_a_url_that_libpq_cannot_read_is_told_by_what_is_wrong_with_it(url: str, reason: str) -> None:
    with pytest.raises(NotALibpqUrl) as error:
        connection.connect(url, "test")
    assert str(error.value) == (
        f"DATABASE_URL is not a libpq URL: {reason}. Write postgresql://user@host:5432/database."
    )


TCP = 'connection failed: connection to server at "127.0.0.1", port 5432 failed: '
PLAIN = "postgresql://me:verysecret@127.0.0.1/rag"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            f'{TCP}FATAL:  password authentication failed for user "me"',
            "the server refused the password of the role me",
        ),
        (f"{TCP}fe_sendauth: no password supplied", "the server wants a password, and the URL has none"),
        (f'{TCP}FATAL:  role "me" does not exist', "the server has no role me"),
        (f'{TCP}FATAL:  database "rag" does not exist', "the server has no database rag"),
        (
            f'{TCP}FATAL:  no pg_hba.conf entry for host "127.0.0.1", user "me", database "rag", no encryption',
            "the server lets nobody in from here as this role, by its pg_hba.conf",
        ),
        (
            f"{TCP}Connection refused\n\tIs the server running on that host and accepting TCP/IP connections?",
            "nobody listens there",
        ),
        (
            'connection is bad: connection to server on socket "/run/.s.PGSQL.5432" failed: No such file or directory',
            "nobody listens there",
        ),
        (
            "failed to resolve host 'nowhere': [Errno -2] Name or service not known",
            "nobody knows a host of this name",
        ),
        ("connection timeout expired", "it does not answer"),
        ('connection is bad: invalid port number: "99999"', "there is no such port"),
        (f"{TCP}FATAL:  the database system is starting up", "the database system is starting up"),
        (f"{TCP}FATAL:  sorry, too many clients already", "sorry, too many clients already"),
        ('connection is bad: invalid sslmode value: "wrong"', 'invalid sslmode value: "wrong"'),
        ("", "nobody says why"),
    ],
)
def test_a_server_that_lets_nobody_in_is_told_by_what_it_said(said: str, reason: str) -> None:
    assert reaching.unreached(PLAIN, conninfo.conninfo_to_dict(PLAIN), said) == reason


@pytest.mark.parametrize(
    ("url", "where"),
    [
        (PLAIN, "127.0.0.1:5432/rag"),
        ("postgresql://me@/rag?host=/run/here&port=5433", "/run/here:5433/rag"),
        ("postgresql://me:very@secret@host:5433/rag?sslmode=require", "host:5433/rag"),
        ("postgresql://me:very/secret@host/rag", "host/rag"),
        ("postgresql://me:very:secret/@host/rag", "host/rag"),
        ("host=here dbname=odd@name", "here:5432/odd@name"),
    ],
)
def test_a_password_that_was_not_encoded_is_neither_taken_for_a_place_nor_shown(url: str, where: str) -> None:
    parts = conninfo.conninfo_to_dict(url)
    assert reaching.where(url, parts) == where
    encoded = where == "host/rag" or "@" in url.partition("@")[2]
    wrong = reaching.unreached(
        url, parts, f'{TCP}invalid integer value "verysecret" for connection option "port"'
    )
    assert (wrong == "a password with @, / or : in it has these as %40, %2F and %3A") == encoded
