import unittest

from tallybook import Book
from tallybook.report import balances, bars


class Reports(unittest.TestCase):
    def test_balances_stand_below_each_other(self):
        book = Book.read("2024-01-01 1000 salary\n2024-01-02 -5.25 tea\n")
        self.assertEqual(balances(book), "salary  1000.00\ntea       -5.25\ntotal    994.75\n")

    def test_an_empty_book(self):
        self.assertEqual(balances(Book()), "total  0.00\n")
        self.assertEqual(bars(Book()), "")

    def test_bars(self):
        book = Book.read("2024-01-01 -10 a\n2024-02-01 -5 a\n2024-03-01 7 a\n")
        self.assertEqual(bars(book, 4), "2024-01 ####\n2024-02 ##\n2024-03\n")
