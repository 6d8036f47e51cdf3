"""What the description of the APIs shows in its examples."""

# A red square on a white ground: a PNG file of 8 by 8 pixels, in base64.
PICTURE = (
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAJklEQVR42mP8//8/AzbAxIADsECou/LycCHlhw/x6SBdgpFkVwEA"
    "eqAJC7Uu0RcAAAAASUVORK5CYII="
)
URI = f"data:image/png;base64,{PICTURE}"
