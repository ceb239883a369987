# SPDX-License-Identifier: Apache-2.0
# Reads the --help of a program for the table of `generate`. own: its options belong to `command`, and are listed with a line each; else
# each paragraph is the synopsis of a command, with the options in it, and its explanation.

function put(kind, of, name, argument, help) {
	gsub(/\t/, " ", help)
	sub(/ +$/, "", help)
	print kind "\t" of "\t" name "\t" (argument == "" ? "-" : argument) "\t" help
}

# The options of a synopsis: [--output json|text], --for 2h, [--trace], [--c | --c++].
function synopsis(of, text,    name, rest) {
	while (match(text, /(^|[ [(])--?[a-z][a-z+-]*/)) {
		name = substr(text, RSTART, RLENGTH)
		sub(/^[ [(]/, "", name)
		text = substr(text, RSTART + RLENGTH)
		rest = ""
		if (match(text, /^ [^]| [-][^] ]*/))
			rest = substr(text, 2, RLENGTH - 1)
		put("option", of, name, rest, "")
	}
}

# "  -c, --config FILE      help": one blank before an argument, more before the help.
/^ +(-[a-zA-Z], )?--[a-z-]+/ && own {
	text = $0
	sub(/^ +/, "", text)
	letter = ""
	if (text ~ /^-[a-zA-Z], /) {
		letter = substr(text, 1, 2)
		text = substr(text, 5)
	}
	name = text
	sub(/ .*/, "", name)
	text = substr(text, length(name) + 1)
	argument = ""
	if (text ~ /^ [^ ]/) {
		argument = substr(text, 2)
		sub(/ .*/, "", argument)
		text = substr(text, length(argument) + 2)
	}
	sub(/^ +/, "", text)
	put("option", command, name, argument, text)
	if (letter != "")
		put("option", command, letter, argument, text)
	next
}

# A word of the command: "skymon grafana check        reports …", or a line of its own, "           http     answers …".
own && command != "skymond" && /^(Usage:|      ) skymon [a-z-]+ [a-z]+ / {
	sub(/^(Usage:|      ) skymon [a-z-]+ /, "")
	name = $1
	help = $0
	sub(/^[^ ]+ ([A-Z]+ )? */, "", help)
	put("word", command, name, "", help)
	next
}
own && command != "skymond" && /^ +[a-z]+  +[a-z]/ {
	help = $0
	sub(/^ +[a-z]+ +/, "", help)
	put("word", command, $1, "", help)
	next
}
own && /^ *Kinds: / { # of skymon new
	for (i = 2; i <= NF && $i ~ /^--/; i++) {
		sub(/;$/, "", $i)
		put("option", command, $i, "", "")
	}
	next
}
own { next }

# The tool's own: "       skymon run PLUGIN [--output json|text]", more lines of the synopsis, then what it does.
/^(Usage:|      ) skymon [a-z-]+/ {
	sub(/^(Usage:|      ) skymon /, "")
	name = $1
	if (name ~ /^-/) {
		for (i = 1; i <= NF; i++)
			if ($i ~ /^-/)
				put("option", "-", $i, "", "")
		next
	}
	synopsis(name, substr($0, length(name) + 1))
	next
}
/^          +[[-]/ { synopsis(name, $0); next }
/^         [A-Z]/ && !(name in said) {
	said[name] = 1
	help = $0
	sub(/^ +/, "", help)
	sub(/[.:] .*|[.:]$/, "", help)
	put("word", "-", name, "", help)
}
