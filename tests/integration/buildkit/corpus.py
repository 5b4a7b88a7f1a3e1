"""Dockerfiles, and by hand which images each stands on, and what for.

``<a>`` is an image of the registry, ``<a@>`` the same held at its digest.
Expected is ``name:role`` for each image, with ``!`` where it is pinned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

HEREDOCS, CONTEXTS, LINK = "heredocs", "contexts", "link"
"""What only newer builders know."""


@dataclass(frozen=True)
class Case:
    """One Dockerfile, the build's options, and the answer."""

    name: str
    text: str
    expected: str
    target: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)
    contexts: Mapping[str, str] = field(default_factory=dict)
    needs: str = ""


def _heredoc(name: str, text: str, expected: str) -> Case:
    return Case(name, text, expected, needs=HEREDOCS)


BUILDER = "FROM <b> AS one\nRUN echo 1 > /o\n"

CASES = (
    Case("one stage", "FROM <a>\n", "a:runtime"),
    Case("small letters", "from <a>\nrun true\n", "a:runtime"),
    Case("a named stage", "FROM <a> AS final\nRUN true\n", "a:runtime"),
    Case("as in small letters", "FROM <a> as final\nFROM final\n", "a:runtime"),
    Case("no tag", "FROM <plain>\n", "plain:runtime"),
    Case("indented", "  FROM <a>\n\t RUN true\n", "a:runtime"),
    Case("tabs between words", "FROM\t<a>\tAS\tx\nRUN\ttrue\n", "a:runtime"),
    Case("CRLF", "FROM <a>\r\nCOPY --from=<b> /name /n\r\n", "a:runtime b:copy"),
    Case("byte order mark", "\ufeffFROM <a>\n", "a:runtime"),
    Case("comments that look like instructions", "# FROM <b>\nFROM <a>\n#COPY --from=<c> / /\n",
         "a:runtime"),
    Case("empty lines", "\n\nFROM <a>\n\n\nRUN true\n", "a:runtime"),
    Case("no images at all", "FROM scratch\nCOPY file /\n", ""),
    Case("an added file", "FROM <a>\nADD file /\n", "a:runtime"),
    # Stages.
    Case("a builder and a base", f"{BUILDER}FROM <a>\nCOPY --from=one /o /o\n",
         "a:runtime b:build"),
    Case("a builder and nothing", f"{BUILDER}FROM scratch\nCOPY --from=one /o /o\n", "b:build"),
    Case("a stage on a stage", "FROM <a> AS one\nFROM one AS two\nRUN true\nFROM two\n",
         "a:runtime"),
    Case("an unused stage", "FROM <b> AS unused\nRUN true\nFROM <a>\n", "a:runtime"),
    Case("an unused stage that copies", "FROM <b> AS x\nCOPY --from=<c> /name /n\nFROM <a>\n",
         "a:runtime"),
    Case("stage by number", f"{BUILDER}FROM <a>\nCOPY --from=0 /o /o\n", "a:runtime b:build"),
    Case("stages by numbers", f"{BUILDER}FROM <c>\nRUN echo 2 > /p\nFROM <a>\n"
         "COPY --from=0 /o /o\nCOPY --from=1 /p /p\n", "a:runtime b:build c:build"),
    Case("stage names in any case", "FROM <b> AS One\nRUN echo 1 > /o\nFROM <a>\n"
         "COPY --from=ONE /o /o\n", "a:runtime b:build"),
    Case("FROM a stage in any case", "FROM <a> AS Base\nFROM base\nRUN true\n", "a:runtime"),
    Case("a stage named like an image", "FROM <a> AS busybox\nFROM busybox\nRUN true\n",
         "a:runtime"),
    Case("two builders on one base", "FROM <b> AS base\nFROM base AS l\nRUN echo l > /l\n"
         "FROM base AS r\nRUN echo r > /r\nFROM <a>\nCOPY --from=l /l /\nCOPY --from=r /r /\n",
         "a:runtime b:build"),
    Case("five stages deep", "FROM <a> AS s1\nRUN echo 1 > /1\nFROM <b> AS s2\n"
         "COPY --from=s1 /1 /\nFROM <c> AS s3\nCOPY --from=s2 /1 /\nFROM <d> AS s4\n"
         "COPY --from=s3 /1 /\nFROM scratch\nCOPY --from=s4 /1 /\n",
         "a:build b:build c:build d:build"),
    Case("base of the final stage is a builder too", "FROM <a> AS one\nRUN echo 1 > /o\n"
         "FROM <a>\nCOPY --from=one /o /\n", "a:runtime"),
    Case("a stage that only waits", "FROM <b> AS check\nRUN echo ok > /ok\nFROM <a>\n"
         "RUN --mount=from=check,target=/check cat /check/ok\n", "a:runtime b:build"),
    # Targets.
    Case("target by name", "FROM <a> AS one\nRUN true\nFROM <b>\n", "a:runtime", target="one"),
    Case("target in any case", "FROM <a> AS One\nFROM <b>\n", "a:runtime", target="oNE"),
    Case("a target that needs an earlier stage", f"{BUILDER}FROM <a> AS two\n"
         "COPY --from=one /o /\nFROM <c>\n", "a:runtime b:build", target="two"),
    Case("a target without images", "FROM <a> AS one\nFROM scratch AS empty\nCOPY file /\n"
         "FROM <b>\n", "", target="empty"),
    # COPY --from.
    Case("copy of an image", "FROM <a>\nCOPY --from=<b> /name /n\n", "a:runtime b:copy"),
    Case("copies of two images", "FROM <a>\nCOPY --from=<b> /name /1\nCOPY --from=<c> /name /2\n",
         "a:runtime b:copy c:copy"),
    Case("copy of an image to nothing", "FROM scratch\nCOPY --from=<a> /name /n\n", "a:copy"),
    Case("copy in a builder", "FROM <b> AS one\nCOPY --from=<c> /name /o\nFROM <a>\n"
         "COPY --from=one /o /\n", "a:runtime b:build c:copy"),
    Case("copy with an owner", "FROM <a>\nCOPY --chown=1:1 --from=<b> /name /n\n",
         "a:runtime b:copy"),
    Case("copy, source first", "FROM <a>\nCOPY --from=<b> --chown=1:1 /name /n\n",
         "a:runtime b:copy"),
    Case("copy as JSON", 'FROM <a>\nCOPY --from=<b> ["/name", "/n"]\n', "a:runtime b:copy"),
    Case("copy of the base", "FROM <a>\nCOPY --from=<a> /name /n\n", "a:runtime"),
    Case("copy of a builder's base", f"{BUILDER}FROM <a>\nCOPY --from=one /o /\n"
         "COPY --from=<b> /name /n\n", "a:runtime b:build"),
    Case("a linked copy", "FROM <a>\nCOPY --link --from=<b> /name /n\n", "a:runtime b:copy",
         needs=LINK),
    # RUN --mount.
    Case("a mounted image", "FROM <a>\nRUN --mount=type=bind,from=<b>,target=/m cat /m/name\n",
         "a:runtime b:mount"),
    Case("a mount without a type", "FROM <a>\nRUN --mount=from=<b>,target=/m cat /m/name\n",
         "a:runtime b:mount"),
    Case("a mounted folder of an image", "FROM <a>\n"
         "RUN --mount=type=bind,from=<b>,source=/etc,target=/m ls /m\n", "a:runtime b:mount"),
    Case("a cache that begins as an image", "FROM <a>\n"
         "RUN --mount=type=cache,from=<b>,source=/etc,target=/m ls /m\n", "a:runtime b:mount"),
    Case("mounts without images", "FROM <a>\n"
         "RUN --mount=type=tmpfs,target=/t --mount=type=cache,target=/c true\n", "a:runtime"),
    Case("two mounts", "FROM <a>\nRUN --mount=from=<b>,target=/b --mount=from=<c>,target=/c"
         " cat /b/name /c/name\n", "a:runtime b:mount c:mount"),
    Case("a mounted stage", f"{BUILDER}FROM <a>\nRUN --mount=from=one,target=/m cat /m/o\n",
         "a:runtime b:build"),
    Case("a mount in a builder", "FROM <b> AS one\n"
         "RUN --mount=from=<c>,target=/m cat /m/name > /o\nFROM <a>\nCOPY --from=one /o /\n",
         "a:runtime b:build c:mount"),
    Case("words of a command that look like a mount",
         "FROM <a>\nRUN echo --mount=type=bind,from=<b>,target=/m\n", "a:runtime"),
    # Arguments.
    Case("argument with a default", "ARG BASE=<a>\nFROM ${BASE}\n", "a:runtime"),
    Case("argument without braces", "ARG BASE=<a>\nFROM $BASE\n", "a:runtime"),
    Case("argument that is given", "ARG BASE=<b>\nFROM ${BASE}\n", "a:runtime",
         arguments={"BASE": "<a>"}),
    Case("argument that is given only", "ARG BASE\nFROM $BASE\n", "a:runtime",
         arguments={"BASE": "<a>"}),
    Case("argument in quotes", 'ARG BASE="<a>"\nFROM $BASE\n', "a:runtime"),
    Case("argument of an argument", "ARG TAG=1\nARG BASE=<a/>:${TAG}\nFROM $BASE\n", "a:runtime"),
    Case("tag as an argument", "ARG TAG=1\nFROM <a/>:${TAG}\n", "a:runtime"),
    Case("two arguments on a line", "ARG NAME=<a/> TAG=1\nFROM $NAME:$TAG\n", "a:runtime"),
    Case("fallback that is needed", "ARG TAG\nFROM <a/>:${TAG:-1}\n", "a:runtime"),
    Case("fallback that is not needed", "ARG TAG=1\nFROM <a/>:${TAG:-9}\n", "a:runtime"),
    Case("alternative", "ARG DEBUG=yes\nFROM <a/>${DEBUG:+:1}\n", "a:runtime"),
    Case("argument of a stage changes nothing", "ARG BASE=<a>\nFROM <b> AS one\nARG BASE=<c>\n"
         "RUN echo $BASE > /o\nFROM $BASE\nCOPY --from=one /o /\n", "a:runtime b:build"),
    Case("base as an argument of a builder", "ARG TOOL=<b>\nFROM ${TOOL} AS one\n"
         "RUN echo 1 > /o\nFROM <a>\nCOPY --from=one /o /\n", "a:runtime b:build"),
    # Platforms.
    Case("the builder's platform", "FROM --platform=$BUILDPLATFORM <b> AS one\nRUN echo 1 > /o\n"
         "FROM <a>\nCOPY --from=one /o /\n", "a:runtime b:build"),
    Case("the target's platform", "FROM --platform=${TARGETPLATFORM} <a>\n", "a:runtime"),
    Case("architecture in a name", "FROM <arch/>-${TARGETARCH}:1\n",
         "arch:runtime"),
    # Pinned.
    Case("pinned", "FROM <a@>\n", "a!:runtime"),
    Case("pinned without a tag", "FROM <plain@>\n", "plain!:runtime"),
    Case("pinned by an argument", "ARG BASE=<a@>\nFROM $BASE\n", "a!:runtime"),
    Case("pinned copy", "FROM <a>\nCOPY --from=<b@> /name /n\n", "a:runtime b!:copy"),
    Case("pinned mount", "FROM <a>\nRUN --mount=from=<b@>,target=/m cat /m/name\n",
         "a:runtime b!:mount"),
    Case("pinned builder", "FROM <b@> AS one\nRUN echo 1 > /o\nFROM <a>\nCOPY --from=one /o /\n",
         "a:runtime b!:build"),
    Case("pinned here and not there", "FROM <a@>\nCOPY --from=<a> /name /n\n", "a:runtime"),
    # ONBUILD.
    # (These builders let ONBUILD take from no other image.)
    Case("a base with ONBUILD", "FROM <gives>\nRUN cat /gift\n", "gives:runtime"),
    Case("a builder with ONBUILD", "FROM <gives> AS one\nFROM <a>\nCOPY --from=one /gift /\n",
         "a:runtime gives:build"),
    Case("for those who build on this", "FROM <a>\nONBUILD COPY --from=<b> /name /n\n",
         "a:runtime"),
    # Lines.
    Case("FROM over two lines", "FROM \\\n  <a>\n", "a:runtime"),
    Case("COPY over lines with a comment between", "FROM <a>\nCOPY \\\n  # from b\n"
         "  --from=<b> \\\n\n  /name /n\n", "a:runtime b:copy"),
    Case("blanks after the backslash", "FROM <a>\nRUN true && \\  \n  true\n", "a:runtime"),
    Case("another escape", "# escape=`\nFROM <a>\nCOPY --from=<b> `\n  /name /n\n",
         "a:runtime b:copy"),
    Case("a directive nobody knows", "# colour=green\nFROM <a>\n", "a:runtime"),
    Case("a directive after a comment is none", "# hello\n# escape=`\nFROM \\\n <a>\n",
         "a:runtime"),
    Case("a shift is no heredoc", "FROM <a>\nRUN echo $((1 << 2))\nCOPY --from=<b> /name /n\n",
         "a:runtime b:copy"),
    Case("a quoted heredoc is none", 'FROM <a>\nRUN echo "<<EOF"\nCOPY --from=<b> /name /n\n',
         "a:runtime b:copy"),
    _heredoc("a heredoc", "FROM <a>\nRUN <<EOF\ntrue || \\\nFROM nowhere\nEOF\n"
             "COPY --from=<b> /name /n\n", "a:runtime b:copy"),
    _heredoc("a quoted end", "FROM <a>\nRUN <<'END'\nCOPY --from=<c> / /\nEOF\nEND\n".replace(
        "COPY --from=<c> / /\nEOF", "cat <<EOF\nCOPY --from=nowhere / /\nEOF"), "a:runtime"),
    _heredoc("a heredoc with tabs", "FROM <a>\nRUN <<-EOF\n\techo 1\n\tEOF\n"
             "COPY --from=<b> /name /n\n", "a:runtime b:copy"),
    _heredoc("a heredoc for a program", "FROM <a>\nRUN sh -s <<EOF\ntrue\nEOF\n", "a:runtime"),
    _heredoc("copied heredocs", "FROM <a>\nCOPY <<ONE <<TWO /d/\nFROM x\nONE\nFROM y\nTWO\n"
             "COPY --from=<b> /name /n\n", "a:runtime b:copy"),
    _heredoc("backslashes in a heredoc", "FROM <a>\nRUN <<EOF\necho a \\\n b\nEOF\n"
             "COPY --from=<b> /name /n\n", "a:runtime b:copy"),
    # Named contexts.
    Case("a context in place of a base", "FROM base\nRUN true\n", "a:runtime",
         contexts={"base": "docker-image://<a>"}, needs=CONTEXTS),
    Case("a context in place of an image", "FROM <b>\nRUN true\n", "a:runtime",
         contexts={"<b>": "docker-image://<a>"}, needs=CONTEXTS),
    Case("a context in place of a stage", f"{BUILDER}FROM <a>\nCOPY --from=one /name /\n",
         "a:runtime c:copy", contexts={"one": "docker-image://<c>"}, needs=CONTEXTS),
    Case("a context that is a folder", "FROM <a>\nCOPY --from=files file /\n", "a:runtime",
         contexts={"files": "folder"}, needs=CONTEXTS),
    Case("a pinned context", "FROM base\n", "a!:runtime",
         contexts={"base": "docker-image://<a@>"}, needs=CONTEXTS),
    # All together.
    Case("every instruction", "ARG BASE=<a>\nFROM ${BASE} AS final\nENV X=1 Y=2\nLABEL l=1\n"
         "EXPOSE 80\nWORKDIR /w\nUSER 1\nVOLUME /v\nSTOPSIGNAL SIGTERM\nSHELL [\"sh\", \"-c\"]\n"
         "HEALTHCHECK CMD true\nENTRYPOINT [\"sh\"]\nCMD [\"-c\", \"true\"]\n", "a:runtime"),
    Case("every role", "FROM <d> AS one\nRUN echo 1 > /o\nFROM <gives>\n"
         "COPY --from=one /o /\nCOPY --from=<a> /name /1\n"
         "RUN --mount=from=<c@>,target=/m cat /m/name\n",
         "gives:runtime d:build a:copy c!:mount"),
)  # fmt: skip
