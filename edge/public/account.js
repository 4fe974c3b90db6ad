// What the links in our mails lead to. The token stands behind the `#`, so it reaches neither logs nor other sites, and
// it is used by a button alone: a mail scanner that opens the link changes nothing.

const parts = new URLSearchParams(location.hash.slice(1));
history.replaceState(null, "", location.pathname);

const title = document.getElementById("title");
const lead = document.getElementById("lead");
const alert = document.getElementById("alert");
const form = document.getElementById("form");

const EMAIL = { name: "email", label: "E-mail address", type: "email", autocomplete: "username" };
const NAME = { name: "name", label: "Your name", type: "text", autocomplete: "name", optional: true };
const SECRET = { name: "password", label: "Password", type: "password", autocomplete: "current-password" };
const PASSWORD = { name: "password", label: "New password", type: "password", autocomplete: "new-password", minlength: 15,
                   hint: "At least 15 characters. A few words that belong to nobody else do well." };
const CODE = { name: "code", label: "Code", type: "text", autocomplete: "one-time-code",
               hint: "Six digits from your authenticator app, or one of your recovery codes." };

// What each link is for: heading, sentence, fields, button, and what to send where.
const PAGES = {
  verify: {
    title: "Confirm your address",
    lead: "One click, and your account is ready.",
    fields: [],
    button: "Confirm",
    send: (token) => ["/auth/verify", { token }],
    done: ["Your address is confirmed", "You can log in now."],
  },
  email: {
    title: "Confirm your new address",
    lead: "From then on you log in with it.",
    fields: [],
    button: "Confirm",
    send: (token) => ["/auth/verify", { token }],
    done: ["Your new address is confirmed", "You log in with it from now on."],
  },
  reset: {
    title: "Choose a new password",
    lead: "Every session of your account ends with it. You log in with the new password afterwards.",
    fields: [PASSWORD],
    button: "Set password",
    send: (token, fields) => ["/auth/password/reset", { token, ...fields }],
    done: ["Your password is set", "You can log in with it now."],
  },
  forgot: {
    title: "Forgot your password?",
    lead: "Tell us the address of your account, and we send you a link.",
    fields: [EMAIL],
    button: "Send the link",
    send: (_, fields) => ["/auth/password/forgot", fields],
    done: ["Look into your mailbox", "If the address has an account, a link is on its way. It is good for half an hour."],
  },
  signup: {
    title: "Make an account",
    lead: "We send you a link that proves your address.",
    fields: [EMAIL, NAME, PASSWORD],
    button: "Sign up",
    send: (_, fields) => ["/auth/signup", fields],
    done: ["Look into your mailbox", "A link is on its way. It is good for half an hour."],
  },
  login: {
    title: "Log in",
    lead: "With the address and password of your account.",
    fields: [EMAIL, SECRET],
    button: "Log in",
    send: (_, fields) => ["/auth/login", { ...fields, cookie: true }],
    next: () => localPath(parts.get("redirect")),
  },
  second_factor: {
    title: "One more step",
    lead: "Your account asks for a second factor.",
    fields: [CODE],
    button: "Log in",
    send: (challenge, { code }) => {
      const method = /^[0-9 ]+$/.test(code) ? "totp" : "recovery_code";
      return ["/auth/mfa/verify", { challenge, method, code: code.trim() }];
    },
    next: () => localPath(parts.get("redirect")),
  },
  invitation: {
    title: "You are invited",
    lead: "Choose a password, and you have an account in the organisation. If you have one already, log in first and open the link again.",
    fields: [NAME, PASSWORD],
    button: "Join",
    send: (token, fields) => ["/invitations/join", { token, ...fields }],
    done: ["Welcome", "You belong to the organisation. Log in with your address and the password that you have just chosen."],
  },
};

// Why a sign-in with an outside provider did not work, by the code that the service sends the browser here with.
const FAILURES = {
  sign_in_lost: "It was not begun in this browser, or too long ago.",
  sign_in_denied: "The provider did not let you sign in.",
  sign_in_refused: "The provider does not know this sign-in any more.",
  email_unverified: "The provider has not verified your e-mail address. Verify it there first.",
  identity_conflict: "Your account is linked with another account of this provider.",
  signup_closed: "Sign-up is closed. Ask for an invitation.",
  provider_unavailable: "The provider cannot be reached.",
};

const which = Object.keys(PAGES).find((name) => parts.has(name));
if (parts.has("error")) say("Signing in did not work", FAILURES[parts.get("error")] ?? "Begin again.");
else if (parts.has("invitation")) invite(parts.get("invitation"));
else if (which) show(PAGES[which], parts.get(which));

// Whoever is logged in joins as who they are; everyone else makes an account.
async function invite(token) {
  const me = await fetch(`${await apiPrefix()}/me`);
  const page = PAGES.invitation;
  if (!me.ok) return show(page, token);
  const { email } = await me.json();
  const send = () => ["/invitations/accept", { token }];
  show({ ...page, lead: `You join as ${email}.`, fields: [], send, done: ["Welcome", "You belong to the organisation."] }, token);
}

function show(page, token) {
  say(page.title, page.lead);
  form.replaceChildren(...page.fields.map(field), button(page.button));
  form.hidden = false;
  form.onsubmit = (event) => {
    event.preventDefault();
    submit(page, token);
  };
  form.querySelector("input, button").focus();
}

function field({ name, label, hint, optional, ...attributes }) {
  const input = Object.assign(document.createElement("input"), { name, required: !optional });
  Object.entries(attributes).forEach(([attribute, value]) => input.setAttribute(attribute, value));
  const element = document.createElement("label");
  element.append(optional ? `${label} (optional)` : label, input);
  if (hint) element.append(Object.assign(document.createElement("small"), { textContent: hint }));
  return element;
}

function button(text) {
  return Object.assign(document.createElement("button"), { textContent: text });
}

async function submit(page, token) {
  const submit = form.querySelector("button");
  submit.disabled = true;
  alert.hidden = true;
  const filled = [...new FormData(form)].filter(([, value]) => value !== "");
  const [path, body] = page.send(token, Object.fromEntries(filled));
  try {
    const prefix = await apiPrefix();
    const answer = await fetch(prefix + path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    const said = answer.status === 204 ? {} : await answer.json();
    if (!answer.ok) throw new Error(said.detail);
    if (said.mfa_required) return show(PAGES.second_factor, said.challenge);
    if (page.next) return location.assign(page.next());
    form.hidden = true;
    say(...page.done);
  } catch (error) {
    alert.textContent = `That did not work: ${error.message || "the service cannot be reached"}.`;
    alert.hidden = false;
    submit.disabled = false;
  }
}

// A path of this service; whatever leads elsewhere leads to the front page.
function localPath(path) {
  const url = new URL(path ?? "/", location.origin);
  // Whole, since a path such as //host means another thing by itself.
  return url.origin === location.origin ? url.href : "/";
}

// The API may lie elsewhere than at /api/v1; the service says where.
async function apiPrefix() {
  const metadata = await (await fetch("/.well-known/oauth-authorization-server")).json();
  return new URL(metadata.token_endpoint).pathname.replace(/\/auth\/token$/, "");
}

function say(heading, sentence) {
  title.textContent = heading;
  lead.textContent = sentence;
  document.title = `${heading} · AI Tool Nest`;
}
