/* SPDX-License-Identifier: Apache-2.0 */
/* page_badge: a status as a small SVG, for a README or a wiki. Called by page.c, on the HTTP thread. Owns
 * nothing. Its colours have a contrast of 4.5 with white. */
#include "page.h"

/* Returns the width of a text of 11 px Verdana, generously: its glyphs are 4 to 11 px wide, and a wide character
 * of another script about 13. */
static int width_of(const char *text)
{
	int width = 0;
	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;
		if (c < 0x80)
			width += c == 'i' || c == 'l' || c == 'j' || c == '.' || c == '-' ? 5 : 8;
		else if (c >= 0xc0)
			width += c >= 0xe0 ? 13 : 9;
	}
	return width + 10;
}

static const char *colour_of(int status)
{
	switch (status) {
	case SKYMON_HEALTHY:
		return "#1a7f37";
	case SKYMON_DEGRADED:
		return "#9a6700";
	case SKYMON_UNHEALTHY:
		return "#c4232b";
	default:
		return "#656d76";
	}
}

static void put_side(struct text *out, const char *word, int x, int width)
{
	/* textLength keeps the text inside in every font */
	text_format(out, "<text x=\"%d\" y=\"14\" textLength=\"%d\" lengthAdjust=\"spacingAndGlyphs\">",
		    x + 5, width - 10);
	text_escape(out, word);
	text_put(out, "</text>");
}

void badge_print(struct text *out, const char *label, const char *word, int status)
{
	int left = width_of(label), right = width_of(word);
	text_format(out,
		    "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"20\" role=\"img\" "
		    "aria-label=\"",
		    left + right);
	text_escape(out, label);
	text_put(out, ": ");
	text_escape(out, word);
	text_put(out, "\"><title>");
	text_escape(out, label);
	text_put(out, ": ");
	text_escape(out, word);
	text_format(out,
		    "</title><rect width=\"%d\" height=\"20\" rx=\"3\" fill=\"#3b434b\"/>"
		    "<path d=\"M%d 0h%dq3 0 3 3v14q0 3-3 3h-%dz\" fill=\"%s\"/>"
		    "<g fill=\"#fff\" font-family=\"Verdana,DejaVu Sans,sans-serif\" font-size=\"11\">",
		    left + right, left, right - 3, right - 3, colour_of(status));
	put_side(out, label, 0, left);
	put_side(out, word, left, right);
	text_put(out, "</g></svg>\n");
}
