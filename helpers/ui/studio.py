"""The prompt studio: a form that paints with a hosted avatar, and a gallery of what came.

    studio(client, {"me": target})

Its code-only twin is ``client.paint(target, prompt, negative, seed=..., adapter_scale=...)``: the
form calls nothing else. Core ipywidgets only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from helpers.errors import CourseError
from helpers.hosting.client import AvatarClient
from helpers.ui.alt import tag

LATEST = 12
"""Pictures that the gallery keeps, the newest first."""
SIDE = 160


def studio(client: AvatarClient, avatars: Mapping[str, str], **gen_args: Any) -> Any:
    """The form for ``avatars``, TargetModels by the names to be shown.

    ``gen_args`` go with every picture (``num_inference_steps``, ``label``, ...). An error of the
    endpoint is shown in its own words and the form stays usable. Returns a widget whose ``painted``
    lists what was painted, newest first.
    """
    import ipywidgets as widgets

    wide = widgets.Layout(width="36em")
    model: Any = widgets.Dropdown(options=dict(avatars), description="avatar")
    prompt: Any = widgets.Text("a photo of a <<TOK>> person", description="prompt", layout=wide)
    negative: Any = widgets.Text("", description="negative", layout=wide)
    seed: Any = widgets.BoundedIntText(2, min=0, max=2**31 - 1, description="seed")
    scale: Any = widgets.FloatSlider(1.0, min=0.0, max=2.0, step=0.1, description="scale")
    button: Any = widgets.Button(description="Paint", button_style="primary")
    said: Any = widgets.Label()
    shown: Any = widgets.HBox(layout=widgets.Layout(flex_flow="row wrap"))
    form: Any = widgets.VBox(
        [model, prompt, negative, widgets.HBox([seed, scale]), button, said, shown]
    )
    form.painted = []

    def paint(_: object) -> None:
        button.disabled, said.value = True, "painting …"
        try:
            one = client.paint(
                model.value, prompt.value, negative.value or None,
                seed=seed.value, adapter_scale=scale.value, **gen_args,
            )  # fmt: skip
        except CourseError as error:
            said.value = str(error)
        else:
            said.value = f"{model.label}, seed {seed.value}, scale {scale.value:.1f}"
            form.painted = [one, *form.painted][:LATEST]
            words = f"AI generated: {prompt.value}; {said.value}"
            picture = widgets.HTML(tag(one.to_png(), words, f'width="{SIDE}" '))
            shown.children = (picture, *shown.children)[:LATEST]
        finally:
            button.disabled = False

    button.on_click(paint)
    form.button, form.prompt, form.seed, form.said, form.gallery = button, prompt, seed, said, shown
    return form
