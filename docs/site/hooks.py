"""What ./dev docs does to the pages beyond Markdown: names of the library lead to their place in the reference."""

import html
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

names = {}
members = set()  # names of member functions, without their classes


def read_names(tagfile):
    """The address of each public name, without "weir::", as doxygen has told it."""
    found = {}
    for compound in ElementTree.parse(tagfile).getroot().iter("compound"):
        name, kind = compound.findtext("name"), compound.get("kind")
        if kind in ("class", "struct", "concept") and name.startswith("weir::"):
            found.setdefault(name.removeprefix("weir::"), compound.findtext("filename"))
            for member in compound.iter("member"):
                if member.get("kind") == "function":
                    members.add(member.findtext("name"))
                    address = f'{member.findtext("anchorfile")}#{member.findtext("anchor")}'
                    found.setdefault(f'{name.removeprefix("weir::")}::{member.findtext("name")}', address)
        elif kind == "namespace" and name == "weir":
            for member in compound.iter("member"):
                address = f'{member.findtext("anchorfile")}#{member.findtext("anchor")}'
                found.setdefault(member.findtext("name"), address)
    return {name: address if ".html" in address else address + ".html" for name, address in found.items()}


def on_config(config):
    names.update(read_names(Path(config["config_file_path"]).parent / "weir.tag"))
    return config


def on_page_markdown(markdown, page, **_):
    if page.file.src_path in ("benchmarks.md", "contracts.md", "examples.md", "pitfalls.md", "systems.md"):
        page.meta["hide"] = ["toc"]  # their tables have many columns, or their code long lines
        if page.file.src_path == "examples.md":  # its list leads to each of them
            markdown = re.sub(r"^(- |\d+\. )(`(\w+)\.cpp`)", r"\1[\2](#\3cpp)", markdown, flags=re.M)
        else:
            markdown = markdown.replace("\n## ", "\n[TOC]\n\n## ", 1)
    markdown = markdown.replace("](../examples/README.md)", "](examples.md)")
    # GitHub's Markdown begins a list in the middle of a paragraph, this one does not.
    markdown = re.sub(r"^(?![-\s|>#]|\d+\. )(.+)\n(?=(?:- |\d+\. )\S)", r"\1\n\n", markdown, flags=re.M)
    # Only the tests look at what stands behind the language.
    return re.sub(r"^```(\w+) .*$", r"```\1", markdown, flags=re.M)


def on_page_content(content, **_):
    def linked(match):
        name = re.sub(r"^weir::|\(.*\)$|<.*>$", "", html.unescape(match[1]))
        if name in members and match[1].endswith("()") and not match[1].startswith("weir::"):
            return match[0]  # of some object, which the sentence names
        return f'<a href="api/{names[name]}">{match[0]}</a>' if name in names else match[0]

    # Not in blocks, headings and links, which are taken as they are.
    parts = re.split(r"(<pre.*?</pre>|<h\d.*?</h\d>|<a .*?</a>)", content, flags=re.S)
    parts[::2] = [re.sub(r"<code>([^<]+)</code>", linked, part) for part in parts[::2]]
    return "".join(parts)
