"""Generation of tasks by a language model, by the two routes of the Nemotron-Terminal paper (section 4.2).

From seeds: a problem becomes a terminal task; its reference solution is seen by none but the writer of the tests.
From skills: a domain, some skills and what the image has become a task with its tests and its solution.

    brief      what is asked for: one task each
    prompts    the words that ask for it
    endpoint   the model, behind any OpenAI-compatible endpoint
    draft      a reply -> a task, or why it is none
    store      a folder of replies, accepted tasks and rejected drafts, from which a run goes on
    run        asks, reads, tries the gates, keeps or rejects

What a model writes is as hostile as what an agent types: it runs in sandboxes alone, and the same gates judge it as
judge the families.
"""
