export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly samples: readonly Sample[];
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*/;
const LABEL = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"/;
const NUMBER = /^(?:[+-]Inf|NaN|[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)$/;

/**
 * Prometheus's text format 0.0.4, by its grammar and nothing more lenient: each family has HELP and then TYPE once and before its
 * samples, its samples stand together and differ in their labels, and the last line ends too. Throws where it is not so.
 * https://prometheus.io/docs/instrumenting/exposition_formats/#text-format-details
 */
export function parseExposition(text: string): Map<string, Family> {
  if (!text.endsWith('\n')) throw new Error('the last line does not end');
  const families = new Map<string, { name: string; help: string; type: string; samples: Sample[] }>();
  let open: string | undefined;
  let help: { name: string; text: string } | undefined;
  for (const line of text.slice(0, -1).split('\n')) {
    if (line === '') continue;
    const comment = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line);
    if (comment !== null) {
      const [, kind, name = '', rest = ''] = comment;
      if (!new RegExp(`${NAME.source}$`).test(name) || families.has(name)) throw new Error(`not a new name: ${line}`);
      if (kind === 'HELP') {
        if (/\\(?![\\n])/.test(rest) || rest === '') throw new Error(`not a help text: ${line}`);
        help = { name, text: rest };
      } else {
        if (help?.name !== name) throw new Error(`no help before: ${line}`);
        if (!['counter', 'gauge', 'histogram', 'summary', 'untyped'].includes(rest)) throw new Error(`not a type: ${line}`);
        families.set(name, { name, help: help.text, type: rest, samples: [] });
        open = name;
      }
      continue;
    }
    if (line.startsWith('#')) throw new Error(`not a comment that there is: ${line}`);
    const sample = parseSample(line);
    const family = families.get(sample.name);
    if (family === undefined || open !== sample.name) throw new Error(`not in its family: ${line}`);
    const labels = (of: Sample) => JSON.stringify(Object.entries(of.labels).sort());
    if (family.samples.some((other) => labels(other) === labels(sample))) throw new Error(`there is one already: ${line}`);
    family.samples.push(sample);
  }
  return families;
}

function parseSample(line: string): Sample {
  const name = NAME.exec(line)?.[0];
  if (name === undefined) throw new Error(`no name: ${line}`);
  let rest = line.slice(name.length);
  const labels: Record<string, string> = {};
  if (rest.startsWith('{')) {
    rest = rest.slice(1);
    while (!rest.startsWith('}')) {
      const [whole, label = '', value = ''] = LABEL.exec(rest) ?? [];
      if (whole === undefined || label.startsWith('__') || label in labels) throw new Error(`no label at ${rest}`);
      labels[label] = value.replaceAll(/\\(.)/g, (_, escaped: string) => (escaped === 'n' ? '\n' : escaped));
      rest = rest.slice(whole.length);
      if (rest.startsWith(',')) rest = rest.slice(1);
      else if (!rest.startsWith('}')) throw new Error(`neither , nor } at ${rest}`);
    }
    rest = rest.slice(1);
  }
  const value = rest.slice(1);
  if (!rest.startsWith(' ') || !NUMBER.test(value)) throw new Error(`no value: ${line}`);
  return { name, labels, value: Number(value.replace('Inf', 'Infinity')) };
}
