/**
 * `${NAME}` and `${NAME:-default}` inside one value. Runs on parsed scalars, never on the YAML text: a password
 * with `#`, `:` or a newline in it stays one value and can never become structure. What a variable holds is not
 * expanded again. `$${` stands for a literal `${`.
 */
export interface Interpolated {
  readonly value: string;
  /** Names that were asked for; whoever prints the value must know that it may be a secret. */
  readonly used: readonly string[];
  readonly problems: readonly { readonly message: string; readonly remedy: string }[];
}

export type Lookup = (name: string) => string | undefined;

const token = /\$\$\{|\$\{([^{}]*)\}|\$\{/g;
const form = /^([A-Za-z_][A-Za-z0-9_]*)(?:(:-)(.*))?$/s;

export function interpolate(text: string, lookup: Lookup): Interpolated {
  const used: string[] = [];
  const problems: { message: string; remedy: string }[] = [];
  const value = text.replace(token, (whole, inner: string | undefined) => {
    if (whole === '$${') return '${';
    const match = inner === undefined ? null : form.exec(inner);
    const name = match?.[1];
    if (name === undefined) {
      problems.push({
        message: `"${inner === undefined ? '${' : whole}" is not a reference to a variable`,
        remedy: 'Write ${NAME} or ${NAME:-default}; for a literal "${" write "$${".',
      });
      return '';
    }
    used.push(name);
    const found = lookup(name);
    if (match?.[2] !== undefined) return found === undefined || found === '' ? (match[3] ?? '') : found;
    if (found === undefined) {
      problems.push({
        message: `the environment variable ${name} is not set`,
        remedy: `Set ${name} (or ${name}_FILE, a file that holds it), or give a default: \${${name}:-default}.`,
      });
      return '';
    }
    return found;
  });
  return { value, used, problems };
}

/** The text whose interpolation is `value` again, whatever the environment. */
export function escapeInterpolation(value: string): string {
  // A function, because "$$" in a replacement text would mean one dollar sign.
  return value.replaceAll('${', () => '$${');
}
