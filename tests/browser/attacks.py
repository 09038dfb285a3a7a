"""What a page of another origin can send without asking first; each waits until it is done."""

from __future__ import annotations

from collections.abc import Mapping

from playwright.sync_api import Error, Page


def form(page: Page, url: str, fields: Mapping[str, str], kind: str) -> None:
    """Post a form, as a click does, into a frame of the page."""
    page.evaluate(
        """([url, fields, kind]) => new Promise(done => {
            const frame = document.createElement('iframe');
            frame.name = 'answer';
            const form = document.createElement('form');
            Object.assign(form, {method: 'POST', action: url, enctype: kind, target: 'answer'});
            for (const [name, value] of Object.entries(fields)) {
                const field = document.createElement('textarea');
                Object.assign(field, {name, value});
                form.append(field);
            }
            document.body.append(frame, form);
            form.submit();
            frame.onload = () => { frame.remove(); form.remove(); done(); };
            setTimeout(done, 3000);
        })""",
        [url, dict(fields), kind],
    )


def image(page: Page, url: str) -> None:
    """Show something as an image."""
    page.evaluate(
        """url => new Promise(done => {
            const image = new Image();
            image.onload = image.onerror = done;
            image.src = url;
        })""",
        url,
    )


def fetch(page: Page, url: str, method: str = "GET", body: str = "", kind: str = "") -> None:
    """Send a request whose answer the page may not read."""
    page.evaluate(
        """([url, method, body, kind]) => fetch(url, {
            method, mode: 'no-cors', credentials: 'include',
            ...(body ? {body} : {}), ...(kind ? {headers: {'Content-Type': kind}} : {}),
        }).catch(() => null).then(() => null)""",
        [url, method, body, kind],
    )


def fetch_with_preflight(page: Page, url: str, method: str, headers: Mapping[str, str]) -> bool:
    """Send a request that the browser asks leave for; whether the page could read an answer."""
    read: bool = page.evaluate(
        """([url, method, headers]) => fetch(url, {method, headers, body: '{}'})
            .then(() => true).catch(() => false)""",
        [url, method, dict(headers)],
    )
    return read


def frame(page: Page, url: str) -> None:
    """Show something in a frame, and leave its scripts a moment."""
    page.evaluate(
        """url => new Promise(done => {
            const frame = document.createElement('iframe');
            frame.src = url;
            frame.onload = () => setTimeout(done, 500);
            document.body.append(frame);
            setTimeout(done, 3000);
        })""",
        url,
    )


def navigate(page: Page, url: str) -> None:
    """Lead the tab to another address, as a link does; an answer that is saved leaves it here."""
    try:
        with page.expect_event("framenavigated", timeout=3000):
            page.evaluate("url => { location.href = url }", url)
        page.wait_for_timeout(500)
    except Error:
        return


def socket(page: Page, url: str, message: str) -> bool:
    """Open a WebSocket and send a message; whether it opened."""
    opened: bool = page.evaluate(
        """([url, message]) => new Promise(done => {
            const socket = new WebSocket(url, 'graphql-ws');
            socket.onopen = () => { socket.send(message); setTimeout(() => done(true), 500); };
            socket.onerror = socket.onclose = () => done(false);
        })""",
        [url, message],
    )
    return opened
