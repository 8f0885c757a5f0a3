"""Cookies, of which there are none: servers that the relay asks for different people get no way to tie those together,
and nothing that grows."""

from http.cookiejar import CookieJar, DefaultCookiePolicy


def no_cookies() -> CookieJar:
    """Takes none, and gives none."""
    return CookieJar(DefaultCookiePolicy(allowed_domains=()))
