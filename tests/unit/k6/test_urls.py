"""URLs to endpoints: what is folded, what is k6's own grouping, and what the user's rules do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.k6.urls import USUAL, Folding, Urls
from schemas.errors import Permanent

UUID = "0190f1c4-7d2e-7b3a-9c4d-0123456789ab"


@pytest.mark.parametrize(
    ("url", "folded"),
    [
        ("http://a/items/42", "http://a/items/{id}"),
        ("https://a:8443/items/42/parts/7/", "https://a:8443/items/{id}/parts/{id}/"),
        ("http://a/items?limit=20&offset=40#x", "http://a/items"),
        ("http://a?x=1", "http://a"),
        (f"http://a/u/{UUID}/cart", "http://a/u/{id}/cart"),
        (f"http://a/u/{UUID.upper()}", "http://a/u/{id}"),
        (f"http://a/u/{UUID.replace('-', '')}", "http://a/u/{id}"),
        ("http://a/o/507f1f77bcf86cd799439011.json", "http://a/o/{id}.json"),
        ("http://a/o/01ARZ3NDEKTSV4RRFFQ69G5FAV", "http://a/o/{id}"),
        ("http://a/o/0ujtsYcgvSTl8PAuAdqWYSMnLOv", "http://a/o/{id}"),
        ("http://a/day/2026-01-31", "http://a/day/{id}"),
        ("ws://a/rooms/9?token=s3", "ws://a/rooms/{id}"),
        ("http://10.0.0.1/v2/items", "http://10.0.0.1/v2/items"),
        ("http://a/decade/facade/x86_64", "http://a/decade/facade/x86_64"),
        ("http://a/how-to-fold-42-urls-in-k6", "http://a/how-to-fold-42-urls-in-k6"),
        ("http://a/items/${}/parts", "http://a/items/${}/parts"),
        ("127.0.0.1:9001/shop.Items/Get", "127.0.0.1:9001/shop.Items/Get"),
        ("/items/7", "/items/7"),
        ("list", "list"),
        ("", ""),
    ],
)
def test_ids_and_query_strings_are_folded(url: str, folded: str) -> None:
    """What varies becomes a placeholder; words, versions, templates, gRPC methods and names stay."""
    urls = Urls(USUAL)
    assert urls.folded(url) == folded
    assert urls.fold({"name": url, "url": url, "status": "200"}) == {
        "name": folded,
        "url": folded,
        "status": "200",
    }


def test_a_name_of_its_own_is_kept() -> None:
    """Since 0.41 a request's name tag is its URL too; before, the two differ and the name was chosen."""
    urls = Urls(USUAL)
    chosen = {"name": "http://a/items/42", "url": "http://a/items/42?x=1"}
    assert urls.fold(chosen) == {"name": "http://a/items/42", "url": "http://a/items/{id}"}
    alone = {"url": "http://a/1"}
    assert urls.fold(alone) == {"url": "http://a/{id}"}
    assert urls.fold(same := {"vu": "1"}) is same


def test_the_users_rules_come_first() -> None:
    """In their order, on the whole URL with its query, with groups; then the default one, unless switched off."""
    rules = (r"/user-\w+=>/{user}", r"\?tab=(\w+).*=>/tab/\1", "^http://[^/]+=>http://shop")
    url = "http://a:80/user-xyz/items/7?tab=all&x=1"
    assert Urls(Folding(rules)).folded(url) == "http://shop/{user}/items/{id}/tab/all"
    alone = Urls(Folding(rules, by_default=False))
    assert alone.folded(url) == "http://shop/{user}/items/7/tab/all"
    assert Urls(Folding(by_default=False)).folded(url) == url
    assert Urls(Folding(("http://a/.*=>everything",))).folded("http://a/1") == "everything"


@pytest.mark.parametrize("rule", ["items", "=>x", "(=>x", r"a=>\1", r"(a)=>\g<b>"])
def test_a_rule_that_can_not_be_read_is_refused(rule: str) -> None:
    """Before the test starts, and the message shows it."""
    with pytest.raises(Permanent, match="URL rule"):
        Urls(Folding((rule,)))


@given(url=st.text(max_size=80) | st.from_regex(r"https?://[a-z]{1,4}(/[\w.-]{0,30}){0,5}(\?.*)?"))
def test_folding_once_is_enough(url: str) -> None:
    """What was folded is not folded further, whatever it was."""
    urls = Urls(USUAL)
    assert urls.folded(urls.folded(url)) == urls.folded(url)
