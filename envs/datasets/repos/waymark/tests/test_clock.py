import unittest

from waymark import clock


class Clock(unittest.TestCase):
    def test_times_are_read(self):
        self.assertEqual([clock.parse(text) for text in ("0:00", "7:30", "23:59")], [0, 450, 1439])

    def test_what_is_no_time_is_refused(self):
        for text in ("24:00", "7:60", "7", "7:5", "-1:00", "a:10"):
            with self.assertRaises(ValueError):
                clock.parse(text)

    def test_times_are_shown(self):
        self.assertEqual([clock.show(minutes) for minutes in (0, 65, 1439, 1440, 3000)], ["0:00", "1:05", "23:59", "0:00 +1", "2:00 +2"])

    def test_spans(self):
        self.assertEqual([clock.span(minutes) for minutes in (0, 45, 60, 125)], ["0 min", "45 min", "1 h", "2 h 5 min"])
