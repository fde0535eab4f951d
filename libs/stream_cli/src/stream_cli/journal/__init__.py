"""The journal: what the local cloud has observed, as files of lines, and the questions that readers ask about it.

`lines` says what is written, `writer` writes it, `questions` says what can be asked, and `answers` answers it for a
folder of files with the index that `index` keeps. The journal holds what the local cloud holds, values of secret fields
included, in private files; a command that shows a part of it redacts it first, as `faults` does.
"""
