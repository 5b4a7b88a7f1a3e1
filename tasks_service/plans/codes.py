"""The catalogue of problem codes; docs/lint/ has one page made from each entry.

Codes are stable: they never change their meaning and are never used again.
The named ones at the end are those of step kinds, about the text of a step.
"""

from __future__ import annotations

from dataclasses import dataclass

from tasks_service.errors import ERROR, WARNING


@dataclass(frozen=True, slots=True)
class Code:
    """One kind of problem: how grave, what it is, and what to do."""

    severity: str
    title: str
    help: str


def _error(title: str, text: str) -> Code:
    return Code(ERROR, title, text)


def _warning(title: str, text: str) -> Code:
    return Code(WARNING, title, text)


CODES: dict[str, Code] = {
    # The file as text.
    "TF100": _error("can't be read", "Check the file's name and that you may read it."),
    "TF101": _error("not UTF-8 text", "Save the file as UTF-8 without a byte-order mark."),
    "TF102": _error(
        "file too large",
        "A task file may have 256 KiB. Move scripts into files of the source, and call them.",
    ),
    "TF103": _error(
        "control character",
        "Only tab and line ends are allowed among control characters. Remove the character; in a "
        "value write it as an escape in double quotes.",
    ),
    "TF104": _warning("nothing to run", "The file has no steps, so a run of it does nothing."),
    # Aliases.
    "TF201": _error(
        "malformed alias block",
        "`alias` is a map with `values` (name to text), `src` (a list) and `directive`.",
    ),
    "TF202": _error(
        "impossible alias directive",
        'The directive is one character that is no letter or digit, in quotes: `directive: "@"`.',
    ),
    "TF203": _error("impossible alias name", "Alias names have letters and digits only."),
    "TF204": _error(
        "alias source can't be read",
        "Each entry of `alias.src` is a file of the source, relative to its root. URLs are read "
        "only where the configuration allows it.",
    ),
    "TF205": _error(
        "malformed alias source", "An alias source is a flat YAML map of name to text."
    ),
    "TF206": _warning(
        "alias that looks mistyped",
        "An unknown `$name` stays as it is, for the shell in the container. This one is close to a "
        "known alias. Write `$$name` to keep it and silence the warning.",
    ),
    "TF207": _warning(
        "alias block without effect",
        "Only the first of two alias blocks in a row counts, and `alias:` must start its line.",
    ),
    # Templates and values.
    "TF301": _error(
        "template error",
        "The text between `{{` and `}}` can't be read or fails. The language is Go's text/template "
        "with Sprig's functions, without those that read the host.",
    ),
    "TF302": _error(
        "rendered to nothing", "The file has text, but nothing is left after rendering."
    ),
    "TF303": _error("malformed values file", "A values file is a YAML map."),
    "TF304": _error("malformed --set", "Write `--set name=value`; the name can't be empty."),
    "TF305": _error(
        "template limit",
        "A template may not run, repeat, nest or print without end. Make it do less.",
    ),
    "TF306": _warning(
        "unknown variable",
        "`.Run` has no such variable, so it always renders as nothing. `--strict` makes it an "
        "error.",
    ),
    # YAML.
    "TF401": _error("not valid YAML", "See the position; often a quote, a colon or the indent."),
    "TF402": _error("tab as indent", "YAML is indented with spaces only."),
    "TF403": _error("second document", "Remove the `---` and what belongs to the second document."),
    "TF404": _error(
        "too deep or too large",
        "A file may nest 32 levels and hold 20 000 values, aliases counted "
        "as often as they are used.",
    ),
    "TF405": _error(
        "impossible anchor", "A YAML `*name` needs an `&name` above it, outside itself."
    ),
    "TF406": _error("YAML tag", "Remove the tag; property types are known without."),
    "TF407": _error("duplicate key", "Remove one; which of them counts would be chance."),
    "TF408": _warning(
        "unknown property",
        "The property does nothing. Property names are case-sensitive. Keys that start with `x-` "
        "at the top of the file are free for anchors.",
    ),
    "TF409": _error("impossible key", "Keys are plain text, and `<<` merges maps only."),
    "TF410": _error("not a task file", "A task file is a YAML map with a `steps` list."),
    "TF411": _warning(
        "merge replaces a key",
        "A `<<` counts where it stands. Put it first, so that the keys written here win.",
    ),
    "TF412": _error("wrong type", "See `tasks explain` for the type of the property."),
    "TF413": _warning("not a whole number", "The fraction is cut off."),
    "TF414": _error("empty list item", "Remove the item or give it a value."),
    # Properties.
    "TF501": _warning("no steps", "Add a `steps` list."),
    "TF502": _error("unknown version", "Write `version: v1.1.0`, with the `v`."),
    "TF503": _error("impossible secret id", "A secret needs an id without white space."),
    "TF504": _error("duplicate secret", "Give every secret an id of its own."),
    "TF505": _error(
        "impossible secret source",
        "`keyvault` is an Azure Key Vault secret URL, `vault:path#key`, `env:NAME`, `file:path` or "
        "`store:name`.",
    ),
    "TF506": _error("malformed clientID", "`clientID` is the UUID of an identity."),
    "TF507": _error("impossible network", "A network needs a name, unique in the file."),
    "TF508": _error("malformed environment entry", "Write `NAME=value`."),
    "TF509": _error(
        "impossible volume", "A volume needs a name of letters, digits, `-` and `_`, unique."
    ),
    "TF510": _error("volume without files", "Give `secret`, a map of file name to Base64 text."),
    "TF511": _error("impossible file name", "File names have letters, digits, `-`, `_` and `.`."),
    "TF512": _error("not Base64", "Encode the content: `{{.Secrets.x | b64enc}}`."),
    "TF520": _error("negative count", "Write 0 or more."),
    "TF521": _warning("negative time", "A negative time counts as not written."),
    "TF522": _warning("name from the documents", "Write `volumeMounts`, a list."),
    "TF523": _error(
        "impossible step id",
        "The id is the container's name and its host name on the network: letters, digits, `_`, "
        "`.`, `-`, first a letter or digit.",
    ),
    "TF524": _error("impossible cache", "`cache` is `enabled` or `disabled`."),
    "TF525": _warning("isolation", "Windows isolation has no meaning here."),
    "TF526": _error("impossible cpus", "`cpus` is a number such as `1.5`; 0 is no limit."),
    "TF527": _error("impossible port", "Ports are `8080`, `80:8080`, `8080/udp` or a range."),
    "TF528": _error(
        "impossible volume mount", "A mount needs a name and an absolute, unique path."
    ),
    "TF529": _error("unknown volume", "Declare the volume at the top of the file."),
    "TF530": _warning(
        "environment entry without value",
        "The original passes the host's value on. Steps don't see the host here, so it sets "
        "nothing.",
    ),
    "TF531": _error("step without work", "A step needs `build`, `cmd` or `push`."),
    "TF532": _error("step with two works", "Make two steps of it."),
    "TF533": _error("mount on a push step", "Volumes can be mounted in build and cmd steps."),
    "TF534": _warning("property without meaning", "This kind of step ignores the property."),
    # The graph.
    "TF601": _error("duplicate id", "Ids are unique, generated ones (`acb_step_<n>`) included."),
    "TF602": _error("'-' with other ids", '`when: ["-"]` starts at once; name nothing else there.'),
    "TF603": _warning("id twice in when", "The second one changes nothing."),
    "TF604": _error("step waits for itself", "Remove the step's own id from its `when`."),
    "TF605": _error(
        "forward reference",
        "`when` may only name steps above. That keeps cycles impossible. Move the step.",
    ),
    "TF606": _error("unknown step in when", "Name the id of a step above."),
    # Traps: right, but likely not meant.
    "TF901": _warning(
        "waits for one of several parallel steps",
        "A step without `when` waits only for the step right above it, not for the whole parallel "
        "block. Write `when` with all ids.",
    ),
    "TF902": _warning(
        "aliases are off",
        "`$Registry` and other aliases work only when the file says `version: v1.1.0`, in lower "
        "case. Without it the text stays as it is.",
    ),
    "TF903": _warning(
        "retries on push", "A push tries again by itself; `retries` and `repeat` are ignored."
    ),
    "TF904": _warning(
        "built but never pushed",
        "A build step doesn't push. Add a push step that names the tag, or `--push`.",
    ),
    "TF905": _warning(
        "pushed but never built",
        "No step of this file makes the image. The push fails unless a cmd step makes it.",
    ),
    "TF906": _warning(
        "privileged step",
        "A privileged container can do anything in its runner. Most runners refuse it.",
    ),
    "TF907": _warning(
        "secret in a build argument",
        "Build arguments stay in the image's history. Use `--secret id=…` and "
        "`RUN --mount=type=secret`.",
    ),
    "TF908": _warning(
        "undeclared network",
        "The file declares no network of this name; the step fails unless it exists.",
    ),
    "TF909": _warning(
        "value that nobody gives",
        "The template asks for a value that neither the values file nor `--set` has; it is close "
        "to one that is there.",
    ),
    "TF910": _warning(
        "cache without effect",
        "The cache of a build lies beside its first tag. Give the build a tag with a registry.",
    ),
    "TF911": _warning(
        "context that looks like a Git repository",
        "Only a URL that ends with `.git` (before a `#`) is cloned; others are archives.",
    ),
    # The text of a step, as its kind reads it.
    "bad-image-reference": _error(
        "impossible image name",
        "An image is `[registry[:port]/]name[:tag][@digest]`, the name in lower case.",
    ),
    "bad-type": _error("wrong type", "`build` and `cmd` take text, `push` a list of images."),
    "bad-value": _error("impossible option value", "The message names the option and its form."),
    "dangling-backslash": _error(
        "backslash at the end", "A backslash quotes the next character; there is none."
    ),
    "empty-step": _error("nothing to do", "The step names no image, context or command."),
    "extra-word": _error(
        "word too many", "A build has one context. Put options before it, and quote blanks."
    ),
    "flag-without-effect": _warning(
        "option without effect", "The option is accepted and changes nothing; remove it."
    ),
    "missing-context": _error("no context", "A build needs a context, often `.`, as last word."),
    "missing-image": _error(
        "no image", "The first word of a `cmd` that is no option is its image."
    ),
    "missing-tag": _error("no tag", "Give the image a tag: `-t registry/name:tag`."),
    "missing-value": _error("option without value", "The option takes a value; write it behind."),
    "shell-syntax": _error(
        "text that wants a shell",
        "Nothing gives the text to a shell. For pipes, redirections or several commands write "
        "`image sh -c '…'`.",
    ),
    "unclosed-quote": _error(
        "quote that doesn't end", "Close the quote, or put a backslash before it."
    ),
    "unknown-flag": _error("unknown option", "The command has no such option."),
    "unsupported-flag": _error(
        "option that isn't supported", "The message says why, and what to do instead."
    ),
}
