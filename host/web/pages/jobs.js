// The page of background work: signs in as the API does, keeps the access token in this tab's memory alone, and shows
// what /jobs and, to operators, /operator/jobs tell. Everything is inserted as text, never as markup.

const API = "/api/v1";
const EVERYBODY = "";  // the scope of operators: the whole deployment
const OPEN = ["scheduled", "queued", "running", "parked"];
const AGAIN = ["failed", "cancelled"];
const REFRESH = 5000;  // milliseconds between two refreshes

const at = (selector) => document.querySelector(selector);
let token = "", operator = false, cursor = null, asked = 0;

class Refused extends Error {
  constructor(error) {
    super(error.message);
    this.status = error.status;
  }
}

async function send(method, path, body) {
  const headers = { Accept: "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  if (at("#scope").value) headers["X-Tenant"] = at("#scope").value;
  if (body) headers["Content-Type"] = "application/json";
  const answer = await fetch(API + path, { method, headers, body: body && JSON.stringify(body) });
  const said = answer.status === 204 ? { success: true } : await answer.json();
  if (!said.success) throw new Refused(said.error);
  return said;
}

async function call(method, path, body) {
  try {
    return await send(method, path, body);
  } catch (error) {
    if (error.status !== 401 || !token) throw error;
    token = "";  // perhaps it has only expired: the refresh cookie gets another one
    await renew();
    return send(method, path, body);
  }
}

async function renew() {
  token = (await send("POST", "/auth/refresh")).data.access_token;
}

function tell(text, wrong = false) {
  at("#told").textContent = text;
  at("#told").className = wrong ? "failed" : "";
}

function guarded(work) {
  return async (...args) => {
    try {
      await work(...args);
    } catch (error) {
      if (error.status === 401) show(false);
      tell(error.message, true);
    }
  };
}

// -- making elements --------------------------------------------------------------------------------------------

function make(tag, content = "", more = {}) {
  const element = Object.assign(document.createElement(tag), more);
  element.append(...[content].flat().map((part) => part instanceof Node ? part : String(part ?? "")));
  return element;
}

function button(text, work, more = {}) {
  const element = make("button", text, { type: "button", ...more });
  element.addEventListener("click", guarded(work));
  return element;
}

// Unchanged rows are left in place, so that no click or focus is lost.
function put(body, rows) {
  rows.forEach((row, place) => {
    const old = body.rows[place];
    if (!old) body.append(row);
    else if (!old.isEqualNode(row)) old.replaceWith(row);
  });
  while (body.rows.length > rows.length) body.rows[rows.length].remove();
}

function time(text) {
  return text ? make("time", new Date(text).toLocaleString(), { dateTime: text, title: text }) : "";
}

// -- signing in -------------------------------------------------------------------------------------------------

function show(signedIn) {
  at("#enter").hidden = signedIn;
  at("#who").hidden = at("#work").hidden = !signedIn;
}

async function settle() {
  operator = (await call("GET", "/me")).data.is_operator;
  const tenants = (await call("GET", "/me/tenants?limit=100")).data;
  const options = tenants.map((tenant) => make("option", tenant.name, { value: tenant.slug }));
  at("#scope").replaceChildren(...(operator ? [make("option", "the whole deployment", { value: EVERYBODY })] : []), ...options);
  show(true);
  if (!operator && !tenants.length) return tell("You belong to no organisation.");
  tell("");
  await look();
}

// -- lists -----------------------------------------------------------------------------------------------------

const base = () => (at("#scope").value === EVERYBODY ? "/operator/jobs" : "/jobs");

async function look() {
  const mine = ++asked;
  const filter = new URLSearchParams([...new FormData(at("#filter"))].filter(([, value]) => value));
  filter.set("limit", "50");
  const everybody = at("#scope").value === EVERYBODY;
  const [jobs, tasks] = await Promise.all([
    call("GET", `${base()}?${filter}`),
    everybody ? call("GET", "/operator/jobs/tasks") : { data: [] },
  ]);
  if (mine !== asked) return;  // a newer refresh has begun meanwhile
  const none = make("tr", make("td", "There are none.", { colSpan: 7 }));
  put(at("#jobs tbody"), jobs.data.length ? jobs.data.map(jobRow) : [none]);
  at("#tasks").hidden = !everybody;
  put(at("#tasks tbody"), tasks.data.map(taskRow));
  remember(jobs);
}

async function lookFurther() {
  const filter = new URLSearchParams([...new FormData(at("#filter"))].filter(([, value]) => value));
  filter.set("limit", "50");
  filter.set("cursor", cursor);
  const jobs = await call("GET", `${base()}?${filter}`);
  at("#jobs tbody").append(...jobs.data.map(jobRow));
  remember(jobs);
}

function remember(jobs) {
  cursor = jobs.meta.next_cursor;
  at("#more").hidden = !cursor;
}

function jobRow(job) {
  const state = [make("span", job.state, { className: `state ${job.state}` })];
  if (job.state === "running" && job.progress > 0) {
    state.push(" ", make("progress", "", { max: 1, value: job.progress, title: `${Math.round(job.progress * 100)} %` }));
  }
  const verbs = [["Retry", "retry", AGAIN], ["Cancel", "cancel", OPEN]].filter(([, , states]) => states.includes(job.state));
  return make("tr", [
    make("td", button(job.task, () => open(job.id), { className: "name", title: job.summary })),
    make("td", [job.tenant, job.about].filter(Boolean).join(": ")),
    make("td", state),
    make("td", job.tries ? `${job.attempts} of ${job.tries}` : job.attempts),
    make("td", time(job.run_at)),
    make("td", job.error, { className: "error" }),
    make("td", verbs.map(([text, verb]) => button(text, () => change(job, verb))), { className: "actions" }),
  ]);
}

function taskRow(task) {
  const count = (...states) => states.reduce((sum, state) => sum + (task.jobs[state] ?? 0), 0);
  const verb = task.paused ? button("Let it run", () => resume(task)) : button("Hold back", () => pause(task));
  return make("tr", [
    make("td", [make("strong", task.task), make("br"), task.summary]),
    make("td", count("queued", "scheduled", "parked")),
    make("td", count("running")),
    make("td", count("failed")),
    make("td", task.paused ? `${task.paused.reason} (${task.paused.by})` : ""),
    make("td", verb, { className: "actions" }),
  ]);
}

async function open(id) {
  const { data: job } = await call("GET", `${base()}/${id}`);
  at("#job-title").textContent = job.task;
  const facts = { ...job, arguments: JSON.stringify(job.arguments, null, 2), progress: `${Math.round(job.progress * 100)} %` };
  const shown = Object.entries(facts).filter(([name, value]) => name !== "task" && value !== null && value !== "");
  at("#job dl").replaceChildren(...shown.flatMap(([name, value]) => [
    make("dt", name.replaceAll("_", " ")), make("dd", name.endsWith("_at") ? time(value) : value),
  ]));
  at("#job").showModal();
}

// -- actions ----------------------------------------------------------------------------------------------------

async function change(job, verb) {
  await call("POST", `${base()}/${job.id}/${verb}`);
  tell(`${job.task} ${verb === "retry" ? "runs again" : "is called off"}.`);
  await look();
}

async function pause(task) {
  const dialog = at("#pause"), form = dialog.querySelector("form");
  form.reset();
  dialog.showModal();
  await new Promise((closed) => dialog.addEventListener("close", closed, { once: true }));
  const reason = form.elements.reason.value.trim();
  if (dialog.returnValue !== "pause" || !reason) return;
  await call("POST", `/operator/jobs/tasks/${encodeURIComponent(task.task)}/pause`, { reason });
  tell(`${task.task} is held back.`);
  await look();
}

async function resume(task) {
  await call("POST", `/operator/jobs/tasks/${encodeURIComponent(task.task)}/resume`);
  tell(`${task.task} runs again.`);
  await look();
}

// -- beginning --------------------------------------------------------------------------------------------------

for (const state of [...OPEN, "done", ...AGAIN]) at("#filter select").append(make("option", state));
at("#enter").addEventListener("submit", guarded(async (event) => {
  event.preventDefault();
  const credentials = Object.fromEntries(new FormData(at("#enter")));
  at("#scope").replaceChildren();
  token = (await send("POST", "/auth/login", credentials)).data.access_token;
  at("#enter").reset();
  await settle();
}));
at("#leave").addEventListener("click", guarded(async () => {
  await call("POST", "/auth/logout");
  token = "";
  show(false);
  tell("You have signed out.");
}));
at("#filter").addEventListener("submit", (event) => event.preventDefault());
at("#filter").addEventListener("input", guarded(look));
at("#scope").addEventListener("change", guarded(look));
at("#more").addEventListener("click", guarded(lookFurther));
setInterval(guarded(async () => {
  const busy = document.hidden || at("dialog[open]") || at("#work").hidden || at("#jobs tbody").rows.length > 50;
  if (!busy) await look();
}), REFRESH);
try {
  await renew();
  await settle();
} catch {
  show(false);
}
