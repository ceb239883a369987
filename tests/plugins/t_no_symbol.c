/* SPDX-License-Identifier: Apache-2.0 */
/* A shared object, but no plugin. */
int t_no_symbol(void);

__attribute__((visibility("default"))) int t_no_symbol(void)
{
	return 1;
}
