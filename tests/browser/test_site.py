"""The documentation in a browser: opened from files, it is searched without the network."""

from playwright.sync_api import Browser

from tests.docs.site import build_site


def test_site_is_searched_offline(browser: Browser, tmp_path) -> None:
    build_site(tmp_path)
    page = browser.new_page()
    requests: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto((tmp_path / "explanation" / "how-it-works.html").as_uri())
    picture = page.locator("img.diagram")
    assert picture.evaluate("image => image.complete && image.naturalWidth") > 500
    page.click("input.md-search__input")
    page.keyboard.type("biochemical failure", delay=20)
    page.wait_for_selector(".md-search-result__link")
    found = page.locator(".md-search-result__link").evaluate_all("links => links.map(a => a.href)")
    assert any("reference/endpoints/phoenix.html" in address for address in found)
    assert not errors
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
    page.close()
