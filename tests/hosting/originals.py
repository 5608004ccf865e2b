"""The generation call of "Build a personalized avatar with generative AI" (AWS, 2023; MIT-0)."""

PROMPT = """<<TOK>> epic portrait, zoomed out, blurred background cityscape, bokeh, perfect symmetry, by artgem, artstation ,concept art,cinematic lighting, highly detailed, 
octane, concept art, sharp focus, rockstar games,
post processing, picture of the day, ambient lighting, epic composition"""  # noqa: E501, W291

NEGATIVE_PROMPT = """
beard, goatee, ugly, tiling, poorly drawn hands, poorly drawn feet, poorly drawn face, out of frame, extra limbs, disfigured, deformed, body out of frame, blurry, bad anatomy, blurred, 
watermark, grainy, signature, cut off, draft, amateur, multiple, gross, weird, uneven, furnishing, decorating, decoration, furniture, text, poor, low, basic, worst, juvenile, 
unprofessional, failure, crayon, oil, label, thousand hands
"""  # noqa: E501, W291

GEN_ARGS = {"num_inference_steps": 50, "guidance_scale": 7, "seed": 731_402_218}


def payload(inputs: dict[str, str]) -> dict[str, object]:
    """The V2 JSON as that notebook builds it."""
    return {
        "inputs": [
            {"name": name, "shape": [1, 1], "datatype": "BYTES", "data": [data]}
            for name, data in inputs.items()
        ]
    }
