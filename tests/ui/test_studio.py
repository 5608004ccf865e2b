"""The studio paints what its form says, shows what came, and survives a refusal."""

from __future__ import annotations

from typing import Any, cast

from PIL import Image

from helpers.errors import GenerationError
from helpers.hosting.client import AvatarClient
from helpers.hosting.picture import Painted
from helpers.ui.studio import LATEST, studio


class Client:
    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def paint(self, target: str, prompt: str, negative: str | None, **args: Any) -> Painted:
        if not prompt:
            raise GenerationError("prompt is empty", "", "Say what the picture should show")
        self.asked.append((target, prompt, negative, args))
        return Painted(image=Image.new("RGB", (8, 8)), info={"seed": args["seed"]})


def opened(client: Client) -> Any:
    return studio(cast(AvatarClient, client), {"me": "avatars/me.tar.gz"}, num_inference_steps=2)


def test_a_click_paints_what_the_form_says() -> None:
    client = Client()
    form = opened(client)
    form.prompt.value, form.seed.value = "a <<TOK>> person in the snow", 7
    form.button.click()
    args = {"seed": 7, "adapter_scale": 1.0, "num_inference_steps": 2}
    assert client.asked == [("avatars/me.tar.gz", "a <<TOK>> person in the snow", None, args)]
    assert form.painted[0].info == {"seed": 7} and len(form.gallery.children) == 1
    assert 'alt="AI generated: a &lt;&lt;TOK&gt;&gt; person' in form.gallery.children[0].value


def test_the_gallery_keeps_the_newest() -> None:
    form = opened(Client())
    for seed in range(LATEST + 2):
        form.seed.value = seed
        form.button.click()
    assert [one.info["seed"] for one in form.painted] == list(range(LATEST + 1, 1, -1))
    assert len(form.gallery.children) == LATEST


def test_a_refusal_is_shown_and_the_next_picture_painted() -> None:
    form = opened(Client())
    form.prompt.value = ""
    form.button.click()
    assert "prompt is empty" in form.said.value and form.painted == []
    form.prompt.value = "a dog"
    form.button.click()
    assert len(form.painted) == 1 and not form.button.disabled
