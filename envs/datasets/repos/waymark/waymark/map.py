"""A map of places and the paths between them."""

import heapq


class Map:
    """Places, and the minutes from each to its neighbours."""

    def __init__(self):
        self.paths = {}

    @classmethod
    def read(cls, text):
        """The map of a text; ValueError names a line that is none."""
        found = cls()
        for number, line in enumerate(text.splitlines(), 1):
            line = line.partition("#")[0].strip()
            if not line:
                continue
            try:
                begin, dash, end, minutes, *rest = line.split()
                if dash != "-" or rest not in ([], ["up"]) or int(minutes) <= 0:
                    raise ValueError
            except ValueError:
                raise ValueError(f"line {number}: expected PLACE - PLACE MINUTES [up], not {line!r}") from None
            found.add(begin, end, int(minutes), up=bool(rest))
        return found

    def add(self, begin, end, minutes, up=False):
        """A path there and back; of two between the same places the quicker one counts."""
        back = -(-minutes * 2 // 3) if up else minutes
        for one, other, time in ((begin, end, minutes), (end, begin, back)):
            known = self.paths.setdefault(one, {})
            known[other] = min(time, known.get(other, time))

    def route(self, begin, end, closed=()):
        """Minutes and places of the quickest way, the first by the alphabet of equal ones; None if there is none."""
        todo, done = [(0, [begin])], set()
        while todo:
            minutes, places = heapq.heappop(todo)
            here = places[-1]
            if here == end:
                return minutes, places
            if here in done:
                continue
            done.add(here)
            for other, time in self.paths.get(here, {}).items():
                if other not in closed and other not in done:
                    heapq.heappush(todo, (minutes + time, [*places, other]))
        return None

    def reach(self, begin, minutes):
        """All places that are no farther than so many minutes, sorted."""
        found = (place for place in self.paths if place != begin)
        routes = {place: self.route(begin, place) for place in found}
        return sorted(place for place, way in routes.items() if way and way[0] <= minutes)
