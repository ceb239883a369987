# SPDX-License-Identifier: Apache-2.0
# Turns the table of `generate` into fish's `complete` lines.
BEGIN { FS = "\t" }
function quote(text) {
	gsub(/\\/, "\\\\", text)
	gsub(/'/, "\\'", text)
	return "'" text "'"
}
{
	if ($2 == "skymond")
		line = "complete -c skymond"
	else if ($2 == "-")
		line = "complete -c skymon -n __fish_use_subcommand"
	else
		line = "complete -c skymon -n " quote("__fish_seen_subcommand_from " $2)
	if ($1 == "word")
		line = line " -a " $3
	else if ($3 ~ /^--/)
		line = line " -l " substr($3, 3)
	else
		line = line " -s " substr($3, 2)
	if ($1 == "option" && $4 == "FILE")
		line = line " -r -F"
	else if ($1 == "option" && $4 == "DIR")
		line = line " -x -a '(__fish_complete_directories)'"
	else if ($1 == "option" && $4 ~ /^[a-z]+([|][a-z]+)+$/) {
		gsub(/[|]/, " ", $4)
		line = line " -x -a " quote($4)
	} else if ($1 == "option" && $4 != "-")
		line = line " -x"
	print line ($5 != "" ? " -d " quote($5) : "")
}
