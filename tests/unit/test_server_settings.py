import pytest

from webhook.server.settings import Address, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8443", Address("127.0.0.1", 8443)),
        ("localhost:0", Address("localhost", 0)),
        (":8443", Address("0.0.0.0", 8443)),
        ("[::1]:65535", Address("::1", 65535)),
        ("[::]:8080", Address("::", 8080)),
    ],
)
def test_an_address_is_read_and_written_back(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8443",
        "localhost",
        "localhost:",
        "::1:8443",
        "[::1]",
        "[::1",
        "a:-1",
        "a:65536",
        "a:x",
        "a:\uff11",
        "[a]:1",
        "a:99999999999999999999",
        "a:0000099999",
    ],
)
def test_what_is_no_address_is_refused_in_plain_words(text: str) -> None:
    with pytest.raises(ValueError, match=r"HOST:PORT|no port"):
        parse_address(text)
