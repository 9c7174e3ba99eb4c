"""Corpora: episodes as rows of files that others train on, and rows of others as conversations.

record.py      Record: one conversation, and what is known of it
nemotron.py    the columns of Nemotron-Terminal-Corpus, and ours beside them
chat.py        ShareGPT's form, and TRL's messages
atif.py        ATIF v1.8, the trajectories of Harbor
recording.py   asciicast v2
filters.py     which records are kept, and why the others are not
folder.py      folders: Harbor's trials, recordings
file.py        files of rows: read in whatever form they are, written whole or not at all
"""
