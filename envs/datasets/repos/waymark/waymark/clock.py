"""Times of the day, as minutes since midnight."""


def parse(text):
    """Minutes of a text such as 7:30 or 19:05."""
    hours, colon, minutes = text.partition(":")
    if not colon or not hours.isdigit() or not minutes.isdigit() or len(minutes) != 2:
        raise ValueError(f"not a time: {text!r}")
    if int(hours) > 23 or int(minutes) > 59:
        raise ValueError(f"no such time: {text!r}")
    return int(hours) * 60 + int(minutes)


def show(minutes):
    """The time of the day; what lies after midnight has a + and the number of days."""
    days, minutes = divmod(minutes, 24 * 60)
    text = f"{minutes // 60}:{minutes % 60:02}"
    return f"{text} +{days}" if days else text


def span(minutes):
    """A length of time: 45 min, 2 h, 1 h 5 min."""
    hours, minutes = divmod(minutes, 60)
    parts = [f"{hours} h"] if hours else []
    if minutes or not hours:
        parts.append(f"{minutes} min")
    return " ".join(parts)
