"""The regular expression of paths whose escapes are UTF-8 (RFC 3629)."""

CONTINUATION = "%[89ABab][0-9A-Fa-f]"
VALID_PATH = (
    "([!-$&-~]"  # as it is
    "|%(0[1-9A-Fa-f]|[1-7][0-9A-Fa-f])"  # one byte, but no NUL
    f"|%([Cc][2-9A-Fa-f]|[Dd][0-9A-Fa-f]){CONTINUATION}"
    f"|%[Ee]0%[ABab][0-9A-Fa-f]{CONTINUATION}"  # none that is longer than it has to be
    f"|%[Ee]([1-9A-Ca-c]|[EFef])({CONTINUATION}){{2}}"
    f"|%[Ee][Dd]%[89][0-9A-Fa-f]{CONTINUATION}"  # no surrogates
    f"|%[Ff]0%[9ABab][0-9A-Fa-f]({CONTINUATION}){{2}}"
    f"|%[Ff][1-3]({CONTINUATION}){{3}}"
    f"|%[Ff]4%8[0-9A-Fa-f]({CONTINUATION}){{2}}"
    ")*"
)
"""Matches a path with its query; a NUL is none of it."""
