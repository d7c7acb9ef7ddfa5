"""Where a payment page may send its customer back to."""

from __future__ import annotations

import pytest

from api.customers.return_urls import allowed

ANY = allowed((), this_machine=False)
DEVELOPER = allowed((), this_machine=True)
SHOPS = allowed(("https://shop.example", "https://shop.example:8443", "http://localhost:3000"), True)


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example",
        "https://shop.example/thanks?session={CHECKOUT_SESSION_ID}#top",
        "HTTPS://SHOP.example/",
        "https://shop.example:444/a%20b",
        "https://[2001:db8::1]/x",
    ],
)
def test_any_https_url_without_a_list(url: str) -> None:
    """With no origins set any page over https will do, with Stripe's placeholder in it."""
    assert ANY.fault(url) is None


@pytest.mark.parametrize(
    "url",
    [
        "",
        "thanks",
        "/thanks",
        "//shop.example/",
        "https:/shop.example",
        "https:///x",
        "https://",
        "ftp://shop.example/",
        "javascript:alert(1)",
        "data:text/html,x",
        "https://user@shop.example/",
        "https://shop.example@evil.example/",
        "https://shop.example\\@evil.example/",
        "https://shop.example:99999/",
        "https://shop.example:0/",
        "https://shop.example:x/",
        "https://shop example/",
        " https://shop.example/",
        "https://shop.example/\n",
        "https://shop.example/\x00",
        "https://shöp.example/",
        "https://shop。example/",
        "https://ⓢhop.example/",
        "https://shop.example/ü",
        "https://shop.example:443@evil.example/",
        "https://shop.example%40evil.example:x/",
        "https:\\\\shop.example\\",
        "https:/\\evil.example/",
        "https://shop.example\t.evil.example/",
        "https://shop.example:44 3/",
        "https://shop.example:+443/",
        "https://shop.example:٤٤٣/",
        "\ufeffhttps://shop.example/",
        "https://[::1/",
        "https://shop.example/" + "a" * 2_048,
    ],
)
def test_what_readers_read_differently_is_no_url(url: str) -> None:
    """A URL that is none, or that a browser takes apart in another way than we do, is refused everywhere."""
    assert ANY.fault(url) == "must be an absolute URL"
    assert DEVELOPER.fault(url) == "must be an absolute URL"


@pytest.mark.parametrize(
    "url", ["http://localhost/", "http://localhost:5173/x", "http://127.0.0.1:3000", "http://LOCALHOST/"]
)
def test_plain_http_to_this_machine_is_for_developers(url: str) -> None:
    """Only in a developer's environment, and only to this machine."""
    assert DEVELOPER.fault(url) is None
    assert ANY.fault(url) == "must be an https URL"


@pytest.mark.parametrize(
    "url", ["http://shop.example/", "http://localhost.evil.example/", "http://127.0.0.1.evil.example/"]
)
def test_plain_http_to_another_machine_is_for_nobody(url: str) -> None:
    """A name that begins like this machine's is another machine's."""
    assert DEVELOPER.fault(url) == "must be an https URL"


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example/thanks",
        "https://SHOP.example:443/",
        "HTTPS://SHOP.EXAMPLE/",
        "https://shop.example?@evil.example",
        "https://shop.example#@evil.example/",
        "https://shop.example/@evil.example/..//evil.example",
        "https://shop.example:8443/",
        "http://localhost:3000/",
    ],
)
def test_an_allowed_origin_is_compared_as_browsers_do(url: str) -> None:
    """Scheme, host in any case, and port, which may be left out where it is the scheme's own."""
    assert SHOPS.fault(url) is None


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/",
        "https://shop.example.evil.example/",
        "https://sub.shop.example/",
        "https://shop.example./",
        "https://evil.example/https://shop.example/",
        "https://evil.example?https://shop.example/",
        "https://evil.example#https://shop.example/",
        "https://shop.example.evil.example:443/",
        "https://shop.example%2eevil.example/",
        "https://xn--shp-rna.example/",
        "https://shop.example:80/",
        "https://shop.example:4430/",
        "https://shop.example:8444/",
        "http://shop.example/",
        "http://localhost:3001/",
        "http://127.0.0.1:3000/",
    ],
)
def test_every_other_origin_is_refused(url: str) -> None:
    """With origins set nothing else will do, not even this machine."""
    assert SHOPS.fault(url) == "must be on one of the allowed origins"
