#!/usr/bin/env python3
"""check-links.py ROOT: names every link that leads nowhere, in the DocC catalogues, in doc comments and in the pages at the top
of the repository. Status 1 when there is one.

Without a compiler: a link to a declaration is right when the module declares the names on its way. Where they are declared only
Tools/docs can tell. Inside a catalogue looks for <doc:PAGE>, <doc:PAGE#HEADING> and <doc:/MODULE/PAGE>, for ``NAME`` and
``/MODULE/NAME``, everywhere for [text](path) and for paths of the repository."""

import re
import sys
from pathlib import Path

ROOT = Path(sys.argv[1]).resolve()
DECLARES = r"\b(?:class|struct|enum|protocol|actor|typealias|func|var|let|init|subscript|case)\b"


class Catalogue:
    """A .docc folder, and the module it lies in; that of the whole repository lies in none."""

    def __init__(self, folder):
        self.name = folder.stem
        self.folder = folder
        self.pages = {page.stem: page.read_text() for page in folder.glob("**/*.md")}
        sources = [] if folder.parent.name == "Sources" else folder.parent.glob("**/*.swift")
        self.source = "\n".join(file.read_text() for file in sources).replace("->", "")

    def has_page(self, name, heading=None):
        if name not in self.pages:
            return False
        text = re.sub(r"```.*?```", "", self.pages[name], flags=re.S)
        headings = [re.sub(r"[`\s]+", "-", line.strip("` ")) for line in re.findall(r"^#+ +(.+)$", text, re.M)]
        return heading is None or heading in headings

    def has_image(self, name):
        """An image is named without its folder, and perhaps without its ending."""
        return any(image.name == name or image.stem == name for image in self.folder.glob("Resources/*"))

    def has_declaration(self, path):
        if path == self.name:
            return True
        first, *rest = path.split("/")
        name = re.escape(first.partition("(")[0])
        public = re.search(rf"\bpublic\b[^\n{{=]*{DECLARES}\s+{name}\b", self.source)
        return public is not None and all(self.declares(part) for part in rest)

    def declares(self, part):
        """As a declaration of its own, or as one of several cases; with the labels where there are some."""
        name, parenthesis, labels = part.partition("(")
        ends = [match.end() for match in re.finditer(rf"{DECLARES}[^\n:={{]*?\b{re.escape(name)}\b", self.source)]
        ends += [match.end() for match in re.finditer(rf"\b{re.escape(name)}\b(?=\()", self.source) if name == "init"]
        return any(not parenthesis or labels == self.labels(end) for end in ends)

    def labels(self, start):
        """Those of the parameters in the parentheses that follow, as a link has them: `_:time:)`."""
        depth, parameters = 0, [""]
        for letter in self.source[self.source.find("(", start) + 1 :]:
            if depth == 0 and letter == ")":
                break
            depth += (letter in "([{<") - (letter in ")]}>")
            if depth == 0 and letter == ",":
                parameters.append("")
            else:
                parameters[-1] += letter
        labels = [re.match(r"\s*(\w+)(?:\s+\w+)?\s*:", parameter) for parameter in parameters if parameter.strip()]
        return "".join((label[1] if label else "_") + ":" for label in labels) + ")"


catalogues = {}
for folder in [*ROOT.glob("Sources/**/*.docc"), *ROOT.glob("Mount/**/*.docc")]:
    catalogues[folder.stem] = Catalogue(folder)


def leads_to_page(target, catalogue):
    place, _, heading = target.partition("#")
    if place.startswith("/"):
        module, _, page = place[1:].partition("/")
        # (DocC knows no headings of another catalogue.)
        if module not in catalogues or heading:
            return False
        catalogue, place = catalogues[module], page or module
    if catalogue.has_page(place or catalogue.name, heading or None):
        return True
    return not heading and catalogue.has_declaration(place)


def leads_to_declaration(target, catalogue):
    if not target.startswith("/"):
        return catalogue.has_declaration(target)
    module, _, name = target[1:].partition("/")
    return module in catalogues and (not name or catalogues[module].has_declaration(name))


def is_there(path, file):
    if re.match(r"[a-z]+:", path) or path.startswith("#"):
        return True
    return (file.parent / path.split("#")[0]).exists()


def broken_links(file, text, catalogue):
    if catalogue is not None:
        for target in re.findall(r"<doc:([^>]+)>", text):
            if not leads_to_page(target, catalogue):
                yield f"<doc:{target}>"
        for target in re.findall(r"(?<!`)``([^`\s]+)``(?!`)", text):
            if not leads_to_declaration(target, catalogue):
                yield f"``{target}``"
    if file.suffix == ".md":
        for image, path in re.findall(r"(!\[[^\]]*)?\]\(([^)\s]+)\)", text):
            is_image_there = image and catalogue is not None and catalogue.has_image(path)
            if not is_image_there and not is_there(path, file):
                yield path
    for path in re.findall(r"(?<![\w/.-])(?:Sources|Tests|Tools|Mount)/[\w./+-]*\w", text):
        if not (ROOT / path).exists():
            yield path


def comments(text):
    return "\n".join(line if line.lstrip().startswith("///") else "" for line in text.split("\n"))


count = 0
catalogue_of = {folder.parent: catalogues[folder.stem] for folder in ROOT.glob("*/*/*.docc")}
files = [*ROOT.glob("*.md"), *ROOT.glob("Sources/**/*.md"), *ROOT.glob("Mount/**/*.md")]
files += [*ROOT.glob("Sources/**/*.swift"), *ROOT.glob("Mount/**/*.swift"), *ROOT.glob("T*s/**/*.swift")]
for file in sorted(files):
    folder = next((parent for parent in file.parents if parent.suffix == ".docc"), None)
    if folder is not None:
        catalogue = catalogues[folder.stem]
    else:
        catalogue = next((catalogue_of[parent] for parent in file.parents if parent in catalogue_of), None)
    text = file.read_text()
    if file.suffix == ".swift":
        text = comments(text)
    for link in broken_links(file, text, catalogue):
        line = text[: text.find(link)].count("\n") + 1
        print(f"{file.relative_to(ROOT)}:{line}: {link}")
        count += 1
sys.exit(count > 0)
