import unittest
from datetime import date

from tallybook import Book

TEXT = """
# a quiet spring
2024-03-05 -20.00 food:out
2024-03-01 100 salary
2024-04-02 -90.00 rent
2024-03-03 -12.50 food market
2024-04-03 -0.50 foodbank
"""


class Reading(unittest.TestCase):
    def setUp(self):
        self.book = Book.read(TEXT)

    def test_entries_are_in_order(self):
        self.assertEqual([entry.day.day for entry in self.book.entries], [1, 3, 5, 2, 3])

    def test_accounts(self):
        self.assertEqual(self.book.accounts(), ["food", "food:out", "foodbank", "rent", "salary"])

    def test_accounts_below_count(self):
        self.assertEqual(self.book.balance("food"), -3250)
        self.assertEqual(self.book.balance("food:out"), -2000)

    def test_the_balance_of_all(self):
        self.assertEqual(self.book.balance(), -2300)

    def test_days_between_include_both_ends(self):
        part = self.book.between(date(2024, 3, 3), date(2024, 4, 2))
        self.assertEqual([entry.cents for entry in part.entries], [-1250, -2000, -9000])

    def test_the_lowest_point(self):
        self.assertEqual(self.book.lowest(), (-2300, date(2024, 4, 3)))
        self.assertIsNone(Book().lowest())

    def test_the_first_of_equal_lowest_points(self):
        book = Book.read("2024-01-01 -5 a\n2024-01-02 5 a\n2024-01-03 -5 a\n")
        self.assertEqual(book.lowest(), (-500, date(2024, 1, 1)))

    def test_months(self):
        self.assertEqual(self.book.months(), {(2024, 3): (3250, 10000), (2024, 4): (9050, 0)})
