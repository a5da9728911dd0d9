// Reads the languages of CloudWatch Logs, as far as observability.yaml uses them: queries of Logs Insights, and filter patterns of metric filters.
// It runs them over log lines. It throws an error if it does not know a part of them.
import { type Value } from './template';

/** The fields of a log line. Those of an object within it are named a.b. */
export type Row = Record<string, Value>;

export interface Query {
  fields: string[]; // of log lines
  texts: string[]; // that fields are compared with
  run(rows: Row[]): Row[];
}

type Operand = (row: Row) => Value;

/** Reads one text, token by token. */
class Reader implements Query {
  readonly fields: string[] = [];
  readonly texts: string[] = [];
  private readonly made = new Set<string>(); // the columns' names
  private readonly tokens: string[] = [];
  private readonly steps: ((rows: Row[]) => Row[])[] = [];

  constructor(text: string, isPattern = false) {
    const token = isPattern
      ? /\s+|(\$\.[\w.]+|"[^"]*"|&&|\|\||[{}()=])/y
      : /\s+|(@?[A-Za-z][\w.]*|\d+[a-z]*|"[^"]*"|'[^']*'|[|,*=><()[\]])/y;
    while (token.lastIndex < text.length) {
      const at = token.lastIndex;
      const found = token.exec(text);
      if (!found) {
        throw new Error(`cannot read ${text.slice(at, at + 20)}`);
      }
      this.tokens.push(...found.slice(1).filter(Boolean));
    }
  }

  run(rows: Row[]) {
    return this.steps.reduce((all, step) => step(all), rows);
  }

  private take(...wanted: string[]): boolean {
    return wanted.includes(this.tokens[0]) && this.tokens.shift() !== undefined;
  }

  private expect(token: string) {
    if (!this.take(token)) {
      throw new Error(`there must be ${token}, not ${this.tokens[0] ?? 'the end'}`);
    }
  }

  private list<T>(one: () => T): T[] {
    const all = [one()];
    while (this.take(',')) {
      all.push(one());
    }
    return all;
  }

  pattern(): this {
    this.expect('{');
    this.filter();
    this.expect('}');
    return this.end();
  }

  query(): this {
    do {
      const command = this.tokens.shift();
      switch (command) {
        case 'filter': this.filter(); break;
        case 'fields': this.columns(this.list(() => this.named(this.operand()))); break;
        case 'stats': this.stats(); break;
        case 'sort': this.list(() => [this.name(this.tokens.shift()!), this.take('asc', 'desc')]); break;
        case 'limit': if (!/^\d+$/.test(this.tokens.shift() ?? '')) { throw new Error('limit needs a number'); } break;
        default: throw new Error(`there is no command ${command}`);
      }
    } while (this.take('|'));
    return this.end();
  }

  private end(): this {
    if (this.tokens.length > 0) {
      throw new Error(`cannot read ${this.tokens.join(' ')}`);
    }
    return this;
  }

  private filter() {
    const condition = this.or();
    this.steps.push((rows) => rows.filter(condition));
  }

  private columns(columns: [name: string, value: Operand][]) {
    this.steps.push((rows) => rows.map((row) => ({ ...row, ...Object.fromEntries(columns.map(([name, value]) => [name, value(row)])) })));
  }

  private stats() {
    const aggregates = this.list(() => this.named(this.aggregate()));
    const groups = this.take('by') ? this.list(() => this.named(this.operand())) : [];
    this.steps.push((rows) => {
      const members = new Map<string, Row[]>();
      for (const row of rows) {
        const key = JSON.stringify(groups.map(([, value]) => value(row)));
        members.set(key, [...members.get(key) ?? [], row]);
      }
      return [...members].map(([key, of]) => ({
        ...Object.fromEntries(groups.map(([name], i) => [name, JSON.parse(key)[i]])),
        ...Object.fromEntries(aggregates.map(([name, value]) => [name, value(of)])),
      }));
    });
  }

  private aggregate(): (rows: Row[]) => Value {
    const name = this.tokens.shift();
    this.expect('(');
    if (name === 'count') {
      this.expect('*');
      this.expect(')');
      return (rows) => rows.length;
    }
    const of = this.operand();
    const percent = name === 'pct' && this.take(',') ? Number(this.tokens.shift()) : undefined;
    this.expect(')');
    if (!['avg', 'max', 'pct'].includes(name!) || (name === 'pct') !== (percent! > 0 && percent! < 100)) {
      throw new Error(`there is no aggregate ${name} with ${percent}`);
    }
    return (rows) => {
      const values = rows.map(of).filter((value) => typeof value === 'number').sort((a, b) => a - b);
      return name === 'avg' ? values.reduce((sum, value) => sum + value / values.length, 0) : values[Math.ceil(values.length * (percent ?? 100) / 100) - 1];
    };
  }

  private named<T>(value: T): [name: string, value: T] {
    const name = this.take('as') ? this.tokens.shift()! : `column ${this.made.size}`;
    this.made.add(name);
    return [name, value];
  }

  private or(): Operand {
    let left = this.and();
    while (this.take('or', '||')) {
      const [a, b] = [left, this.and()];
      left = (row) => a(row) || b(row);
    }
    return left;
  }

  private and(): Operand {
    let left = this.comparison();
    while (this.take('and', '&&')) {
      const [a, b] = [left, this.comparison()];
      left = (row) => a(row) && b(row);
    }
    return left;
  }

  private comparison(): Operand {
    if (this.take('(')) {
      const inner = this.or();
      this.expect(')');
      return inner;
    }
    const left = this.operand();
    if (this.take('=')) {
      const right = this.operand();
      return (row) => (right(row) === '*' ? left(row) !== undefined : left(row) === right(row));
    }
    if (this.take('>')) {
      const right = this.operand();
      return (row) => left(row) > right(row);
    }
    if (this.take('in')) {
      this.expect('[');
      const right = this.list(() => this.operand());
      this.expect(']');
      return (row) => right.some((one) => one(row) === left(row));
    }
    return left;
  }

  private operand(): Operand {
    const token = this.tokens.shift() ?? '';
    if (/^["']/.test(token)) {
      const text = token.slice(1, -1);
      this.texts.push(text);
      return () => text;
    }
    if (/^\d+$/.test(token)) {
      return () => Number(token);
    }
    if (!this.take('(')) {
      const name = this.name(token);
      return (row) => row[name];
    }
    if (token === 'bin') {
      if (!/^\d+[mhd]$/.test(this.tokens.shift() ?? '')) {
        throw new Error('bin needs a time, such as 5m');
      }
      this.expect(')');
      return () => 'the same time';
    }
    const args = this.list(() => this.operand());
    this.expect(')');
    switch (token) {
      case 'ispresent': return (row) => args.every((arg) => arg(row) !== undefined);
      case 'coalesce': return (row) => args.map((arg) => arg(row)).find((value) => value !== undefined);
      default: throw new Error(`there is no function ${token}`);
    }
  }

  private name(token: string): string {
    if (!/^(@|\$\.)?[A-Za-z][\w.]*$/.test(token)) {
      throw new Error(`${token} is no field`);
    }
    const name = token.replace(/^\$\./, '');
    if (!this.made.has(name)) {
      this.fields.push(name);
    }
    return name;
  }
}

export const insights = (query: string): Query => new Reader(query).query();
export const filterPattern = (pattern: string): Query => new Reader(pattern, true).pattern();
