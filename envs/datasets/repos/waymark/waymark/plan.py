"""A day's walk, with rests."""

from waymark import clock

REST_EVERY = 120
"""Minutes of walking after which there is a rest, at the next place."""
REST = 15


def plan(map, places, start):
    """Lines of a day's plan: when each place is come to, by way of what, and the rests; ValueError if one is cut off."""
    now, walked, lines = clock.parse(start), 0, [f"{start} {places[0]}"]
    for begin, end in zip(places, places[1:]):
        way = map.route(begin, end)
        if way is None:
            raise ValueError(f"there is no way from {begin} to {end}")
        for here, there in zip(way[1], way[1][1:]):
            minutes = map.paths[here][there]
            now, walked = now + minutes, walked + minutes
            lines.append(f"{clock.show(now)} {there}")
            if walked >= REST_EVERY and there != places[-1]:
                now, walked = now + REST, 0
                lines.append(f"{clock.show(now)} {there}, after a rest")
    total = now - clock.parse(start)
    return [*lines, f"{clock.span(total)} in all"]
