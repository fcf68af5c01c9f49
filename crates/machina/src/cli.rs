//! The command line: one declaration makes flags, variables and help.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// A machine economy that anyone can run: machines sell work, are paid in crypto, and keep books.
#[derive(Debug, Parser)]
#[command(
    version,
    arg_required_else_help = true,
    after_help = "Start here:\n  machina demo     watch one machine buy work from another\n  machina up       keep an economy running, with its page at http://localhost:4020"
)]
pub struct Arguments {
    /// Where keys, chain and books live.
    #[arg(long, global = true, env = "MACHINA_HOME", value_name = "DIR")]
    pub home: Option<PathBuf>,

    /// Print JSON on standard output instead of tables.
    #[arg(long, global = true)]
    pub json: bool,

    /// Tell more on standard error; twice tells all.
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,

    #[command(flatten)]
    pub place: Place,

    #[command(subcommand)]
    pub command: Command,
}

/// Where an economy is reached, and on which chain it settles.
#[derive(Debug, Clone, Args)]
pub struct Place {
    /// The port for people, market and facilitator.
    #[arg(long, global = true, env = "MACHINA_PORT", default_value_t = 4020, value_name = "PORT")]
    pub port: u16,

    /// The port of the embedded chain's JSON-RPC.
    #[arg(
        long,
        global = true,
        env = "MACHINA_RPC_PORT",
        default_value_t = 8545,
        value_name = "PORT"
    )]
    pub rpc_port: u16,

    /// Settle on this Ethereum node instead of the embedded chain.
    #[arg(long, global = true, env = "MACHINA_RPC", value_name = "URL")]
    pub rpc: Option<String>,

    /// The dollar's contract on that node; needed with `--rpc`.
    #[arg(long, global = true, env = "MACHINA_TOKEN", value_name = "ADDRESS")]
    pub token: Option<String>,

    /// Refuse to start if that node serves another chain.
    #[arg(long, global = true, env = "MACHINA_CHAIN_ID", value_name = "ID")]
    pub chain_id: Option<u64>,

    /// How many blocks must stand on a payment's block on that node before it counts.
    #[arg(
        long,
        global = true,
        env = "MACHINA_CONFIRMATIONS",
        value_name = "N",
        value_parser = clap::value_parser!(u64).range(0..=1000)
    )]
    pub confirmations: Option<u64>,

    /// Have what is sold here settled by this facilitator instead of our own; goes with `--rpc`.
    #[arg(long, global = true, env = "MACHINA_FACILITATOR", value_name = "URL")]
    pub facilitator: Option<String>,

    /// How many vouchers of one channel the shopper may have under way at once; one: in step.
    ///
    /// Where the seller offers lanes, that many purchases at once share a channel without waiting.
    /// A seller that keeps what it did not serve can claim so many prices.
    #[arg(
        long,
        global = true,
        env = "MACHINA_LANES",
        default_value_t = 1,
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=256)
    )]
    pub lanes: u16,

    /// How many keys the facilitator sends with; where gas costs, each needs some.
    #[arg(
        long,
        global = true,
        env = "MACHINA_SENDING_KEYS",
        default_value_t = 1,
        value_name = "N",
        value_parser = clap::value_parser!(u8).range(1..=16)
    )]
    pub sending_keys: u8,

    /// Let this contract make the wallet of a payer that has none yet (EIP-6492); may be repeated.
    #[arg(
        long = "wallet-maker",
        global = true,
        env = "MACHINA_WALLET_MAKERS",
        value_name = "ADDRESS",
        value_delimiter = ','
    )]
    pub wallet_makers: Vec<String>,

    /// What [`Up::model`] says.
    #[arg(skip)]
    pub model: Option<PathBuf>,
}

/// How an economy runs.
#[derive(Debug, Args)]
pub struct Up {
    /// Let the language machine at /v1 speak with this GGUF file instead of its own model.
    #[arg(long, env = "MACHINA_MODEL", value_name = "FILE")]
    pub model: Option<PathBuf>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start an economy and keep it running until Ctrl-C.
    Up(Up),
    /// Watch the first trade: a shopper machine buys the names of what photographs show.
    Demo,
    /// Pay for a request and print the answer.
    ///
    /// The economy's shopper machine pays, under its mandate. The answer goes to standard output,
    /// what was paid to standard error.
    #[command(
        after_help = "Examples:\n  machina pay http://localhost:4020/m/vision/classify --data @cat.jpg --max 0.05\n  machina pay --a2a http://localhost:4020/m/vision \"What is this?\" --data @cat.jpg"
    )]
    Pay(Pay),
    /// Hire machines for a piece of work, and pay when it is checked.
    ///
    /// Machines of this economy bid for it; one does it, others drawn by lot check it, and what is not
    /// needed of the budget comes back. The shopper machine pays, under its mandate. For several files a
    /// foreman plans, hires and puts the answers together.
    #[command(
        after_help = "Examples:\n  machina hire \"what is in these pictures?\" *.jpg --budget 0.05\n  machina hire \"sort these files\" notes.txt scan.png --budget 0.02 --confidence 0.99\n  machina hire \"which is the better cover?\" a.jpg b.jpg --human --within 8h"
    )]
    Hire(Hire),
    /// Show the labour market's jobs, or one with its bids, check and money.
    Jobs(Jobs),
    /// Show what checks have shown of who works, and whether the chain says the same.
    ///
    /// Only settled, checked, paid work counts, by money. Records are computed anew from the receipts and
    /// compared with what the market shows, and with the words that it said on the chain (ERC-8004).
    #[command(
        after_help = "Examples:\n  machina reputation           everyone whose work was checked\n  machina reputation vision    one of them, by name or address"
    )]
    Reputation(Reputation),
    /// Give an agent a wallet: an MCP server on standard input and output.
    ///
    /// Its tools discover, quote and pay, and show balance and mandate. The shopper machine pays,
    /// under its mandate; the agent never sees a key.
    #[command(
        after_help = "Example, in an agent's settings:\n  { \"mcpServers\": { \"machina\": { \"command\": \"machina\", \"args\": [\"mcp\"] } } }"
    )]
    Mcp,
    /// Show the shopper's payment channels, or get back what one holds.
    #[command(
        after_help = "A channel is opened after ten purchases from one seller, or by `machina pay URL --scheme batch-settlement`."
    )]
    Channels(Channels),
    /// Sell a service that runs elsewhere: any HTTP API, behind the gate.
    ///
    /// Buyers reach it under /s/NAME/ of this economy and pay by x402. If no economy runs in the
    /// home, one is opened. A service that fails costs its buyer nothing.
    #[command(
        after_help = "Examples:\n  machina sell --price 0.001 --to http://localhost:11434\n  machina sell --price 0.00002 --per token --most 0.02 --to http://localhost:11434\n  machina sell --prices prices.toml --to http://localhost:8000\n  machina sell --skill vision/classify --price 0.002 --to http://localhost:8000/classify"
    )]
    Sell(Sell),
    /// Show a party's books: what it owns, earned and spent, and what its mandate leaves.
    #[command(
        after_help = "Examples:\n  machina books            all parties of this home\n  machina books vision     one of them, with its entries"
    )]
    Books(Books),
    /// Show the economy's accounts: GDP three ways, turnover, velocity.
    #[command(
        after_help = "Examples:\n  machina economy                                    the headline figures\n  machina economy report --pdf --output report.pdf   all tables, for paper\n  machina economy report --csv                       SDMX-CSV\n  machina economy retype TRADE transfer --reason WHY count a trade otherwise than declared"
    )]
    Economy(Economy),
    /// Project machine GDP and the crypto market, beside every rival model.
    ///
    /// Prints quantiles by year, how likely the two claims of 2 to 4 and 17 trillion dollars are, what the
    /// uncertainty is made of, and what must be true. Needs no home. Methods: docs/outlook.md.
    #[command(
        after_help = "Examples:\n  machina outlook --horizon 2030\n  machina outlook --what-if adoption=60% --what-if share=30%\n  machina outlook --solve crypto_cap=17e12@2034\n  machina outlook backtest           how well each model foresaw the past\n  machina outlook record --keep      enter this projection, to be scored when its date comes"
    )]
    Outlook(Outlook),
    /// Show the models that machines here work with, and fetch them.
    Models(Models),
    /// Show all that a client needs to trade here: addresses, token, facilitator, offers.
    Info,
    /// Give play dollars to an address, on the embedded chain.
    #[command(
        after_help = "Example:\n  machina fund 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 25"
    )]
    Fund(Fund),
    /// Show the purchases that wait for the owner's word, and decide.
    ///
    /// A mandate that asks (`machina grant 5 --ask-above 0.05`) lets what is above go only with a word
    /// for that very purchase. Whoever wanted it then repeats the same request.
    #[command(
        after_help = "Examples:\n  machina approvals\n  machina approvals --accept 9f3a61c2\n  machina approvals --refuse 9f3a61c2 --why \"too dear\""
    )]
    Approvals(Approvals),
    /// Grant the shopper, or another machine, a new mandate, signed with its owner's key.
    #[command(after_help = "Example:\n  machina grant 1.00 --per-payment 0.10 --days 30")]
    Grant(Grant),
}

/// What to pay for.
#[derive(Debug, Clone, Args)]
pub struct Pay {
    /// What to ask for.
    #[arg(value_name = "URL")]
    pub url: String,
    /// With `--a2a`: what is said to the agent.
    #[arg(value_name = "TEXT", requires = "a2a")]
    pub words: Option<String>,
    /// Ask an agent by A2A 1.0: TEXT is said to it, and the data goes along as a file. URL is the agent's
    /// address, its card's, or where it answers.
    #[arg(long, conflicts_with = "method")]
    pub a2a: bool,
    /// The request's body: text, `@FILE`, or `@-` for standard input. Makes it a POST.
    #[arg(long, short, value_name = "DATA", allow_hyphen_values = true)]
    pub data: Option<String>,
    /// The most that it may cost, in dollars: `0.05`. Without it only the mandate decides.
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
    pub max: Option<String>,
    /// Pay by this scheme and no other: exact, upto, batch-settlement or auth-capture.
    #[arg(long, value_name = "SCHEME", value_parser = ["exact", "upto", "batch-settlement", "auth-capture"])]
    pub scheme: Option<String>,
    /// The request's method, if not GET, or POST with `--data`.
    #[arg(long, short = 'X', value_name = "METHOD")]
    pub method: Option<String>,
    /// The body's media type, if it is not plain from the data.
    #[arg(long, value_name = "TYPE")]
    pub content_type: Option<String>,
    /// Write the answer here instead of to standard output.
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// What to hire for.
#[derive(Debug, Clone, Args)]
pub struct Hire {
    /// What is to be done, in your words.
    #[arg(value_name = "WORDS")]
    pub words: String,
    /// The files that it is about, at most 20.
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The most that it may cost, checks included, in dollars: `0.05`.
    #[arg(long, value_name = "AMOUNT", default_value = "0.05", allow_hyphen_values = true)]
    pub budget: String,
    /// The check; without it the cheapest that is sure enough.
    #[arg(long, value_name = "CHECK", value_parser = ["exact", "gold", "redundant", "peer", "optimistic", "juror"])]
    pub check: Option<String>,
    /// How sure the check must be: `0.99`; without it 0.95, or what a check by name reaches.
    #[arg(long, value_name = "SHARE")]
    pub confidence: Option<String>,
    /// Show what would be done and for how much, and spend nothing.
    #[arg(long)]
    pub plan: bool,
    /// Ask a person: whoever takes it on the web is paid when you accept the answer, or do not object.
    #[arg(long)]
    pub human: bool,
    /// How long a person has: `90s`, `30m`, `8h` or `2d`.
    #[arg(long, value_name = "TIME", default_value = "1d", requires = "human")]
    pub within: String,
}

/// Whose reputation.
#[derive(Debug, Clone, Args)]
pub struct Reputation {
    /// A name of this home, or an address; everyone without it.
    #[arg(value_name = "PARTY")]
    pub party: Option<String>,
}

/// Which jobs.
#[derive(Debug, Clone, Args)]
pub struct Jobs {
    /// One job, by its name.
    #[arg(value_name = "JOB")]
    pub job: Option<String>,
    /// How many of the latest to show.
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub latest: usize,
    /// Say that a person's answer is as asked: it is paid at once.
    #[arg(long, requires = "job", conflicts_with_all = ["object", "cancel"])]
    pub accept: bool,
    /// Say that a person's answer is not as asked: a juror decides.
    #[arg(long, requires = "job", conflicts_with = "cancel")]
    pub object: bool,
    /// Take the job back, before anybody is hired.
    #[arg(long, requires = "job")]
    pub cancel: bool,
}

/// What to sell.
#[derive(Debug, Clone, Args)]
pub struct Sell {
    /// The service's address.
    #[arg(long, value_name = "URL")]
    pub to: String,
    /// What each unit costs, in dollars: `0.001`.
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true, conflicts_with = "prices")]
    pub price: Option<String>,
    /// The unit: request, kB or token.
    #[arg(long, value_name = "UNIT", default_value = "request", conflicts_with = "prices")]
    pub per: String,
    /// The most that one request may cost; needed with `--per kB` or `--per token`.
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true, conflicts_with = "prices")]
    pub most: Option<String>,
    /// A price list by method and path, in TOML.
    #[arg(long, value_name = "FILE")]
    pub prices: Option<PathBuf>,
    /// What the stall is called, in its address.
    #[arg(long, value_name = "NAME", default_value = "stall")]
    pub name: String,
    /// What it does, for people.
    #[arg(long, value_name = "TEXT")]
    pub describe: Option<String>,
    /// A header for the service, as `Name: value`, or `@FILE` with that line: its own key.
    #[arg(long, value_name = "HEADER")]
    pub header: Vec<String>,
    /// Also take jobs of this skill at the labour market: vision/classify, file/kind, text/read or language/chat.
    #[arg(long, value_name = "SKILL", requires = "price", conflicts_with = "prices")]
    pub skill: Option<String>,
    /// A check under which it takes jobs; may be repeated. Without one: gold and peer, which need no equal bytes.
    #[arg(long, value_name = "CHECK", requires = "skill")]
    pub check: Vec<String>,
    /// What the service calls its model, for jobs of language/chat.
    #[arg(long, value_name = "NAME", requires = "skill")]
    pub model: Option<String>,
}

/// Which channels.
#[derive(Debug, Clone, Args)]
pub struct Channels {
    /// Close this channel: the seller gives back what it has not charged, or the chain does later.
    #[arg(long, value_name = "CHANNEL")]
    pub close: Option<String>,
}

/// Whose books.
#[derive(Debug, Clone, Args)]
pub struct Books {
    /// A party's name or address; without one, all parties of this home.
    #[arg(value_name = "PARTY")]
    pub party: Option<String>,
    /// How many of the latest entries to show.
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub entries: usize,
}

/// What to project.
#[derive(Debug, Clone, Args)]
pub struct Outlook {
    #[command(flatten)]
    pub question: OutlookQuestion,
    #[command(subcommand)]
    pub part: Option<OutlookPart>,
}

/// The question to the outlook.
#[derive(Debug, Clone, Args)]
pub struct OutlookQuestion {
    /// The year at whose end.
    #[arg(
        long,
        global = true,
        default_value_t = 2034,
        value_name = "YEAR",
        allow_negative_numbers = true
    )]
    pub horizon: i32,
    /// Only this model, by year: structural, or a rival's name.
    #[arg(long, value_name = "MODEL")]
    pub model: Option<String>,
    /// Hold a driver at a value: `adoption=60%`. May be given for several.
    #[arg(long, global = true, value_name = "DRIVER=VALUE")]
    pub what_if: Vec<String>,
    /// A scenario: base, diversification, debasement, capital-flight or all-three.
    #[arg(long, global = true, default_value = "base", value_name = "SCENARIO")]
    pub scenario: String,
    /// What must be true for a quantity to reach a value: `crypto_cap=17e12@2034`.
    #[arg(long, value_name = "QUANTITY=VALUE@YEAR")]
    pub solve: Option<String>,
    /// Take from this home's economy what it measures, in place of opinions: `turnover` if nothing else
    /// is said; `--measured=turnover,velocity,take`.
    #[arg(
        long,
        global = true,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "turnover",
        value_delimiter = ',',
        value_name = "DRIVERS",
        value_parser = ["turnover", "velocity", "take"]
    )]
    pub measured: Vec<String>,
    /// How often the model is drawn.
    #[arg(long, global = true, default_value_t = 200_000, value_name = "N")]
    pub draws: u32,
    /// What the random numbers grow from: the same seed, the same figures.
    #[arg(long, global = true, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// List the drivers: what each is, how it is distributed, from where.
    #[arg(long)]
    pub drivers: bool,
}

/// What else the outlook shows.
#[derive(Debug, Clone, Subcommand)]
pub enum OutlookPart {
    /// Show how well each model would have foreseen the past.
    Backtest(Backtest),
    /// Show the record: what was projected and claimed, and what became of it.
    Record(Record),
}

/// Which past.
#[derive(Debug, Clone, Args)]
pub struct Backtest {
    /// The target: crypto_cap or bitcoin_cap.
    #[arg(long, default_value = "crypto_cap", value_name = "SERIES", value_parser = ["crypto_cap", "bitcoin_cap"])]
    pub target: String,
}

/// What to do with the record.
#[derive(Debug, Clone, Args)]
pub struct Record {
    /// Enter the projection that the other flags ask for, and keep its text in the home.
    #[arg(long)]
    pub keep: bool,
    /// The same, and put the hash of the text on the chain.
    #[arg(long)]
    pub commit: bool,
}

/// Which models.
#[derive(Debug, Clone, Args)]
pub struct Models {
    /// Fetch what is not here yet.
    #[arg(long)]
    pub fetch: bool,
}

/// Whom to fund.
#[derive(Debug, Clone, Args)]
pub struct Fund {
    /// Who gets it: an address, or the name of a party of this home.
    #[arg(value_name = "ADDRESS")]
    pub address: String,
    /// How many dollars: `25`, `0.5`.
    #[arg(value_name = "AMOUNT", allow_hyphen_values = true)]
    pub amount: String,
}

/// What to allow.
#[derive(Debug, Clone, Args)]
pub struct Grant {
    /// How much in all.
    #[arg(value_name = "AMOUNT", allow_hyphen_values = true)]
    pub lifetime: String,
    /// Which machine of this home, by name or address: `foreman`; the shopper if not said.
    #[arg(long, value_name = "NAME")]
    pub machine: Option<String>,
    /// How much for one payment.
    #[arg(long, default_value = "0.10", value_name = "AMOUNT", allow_hyphen_values = true)]
    pub per_payment: String,
    /// How much in any 24 hours; as much as in all if not said.
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
    pub daily: Option<String>,
    /// For how many days.
    #[arg(long, default_value_t = 30, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..=3650))]
    pub days: u16,
    /// Ask the owner about each payment above this; `0`: about each.
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
    pub ask_above: Option<String>,
    /// Ask the owner when more than this would go without asking in 24 hours.
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
    pub ask_above_daily: Option<String>,
}

/// What to decide.
#[derive(Debug, Clone, Args)]
pub struct Approvals {
    /// Accept this request: that purchase may be made once.
    #[arg(long, value_name = "ID", conflicts_with = "refuse")]
    pub accept: Option<String>,
    /// Refuse this request.
    #[arg(long, value_name = "ID")]
    pub refuse: Option<String>,
    /// Why it is refused; kept in the journal.
    #[arg(long, value_name = "TEXT", requires = "refuse", default_value = "")]
    pub why: String,
}

/// Options of `machina economy`.
#[derive(Debug, Args)]
pub struct Economy {
    /// What to do with the accounts; without it, show the headline figures.
    #[command(subcommand)]
    pub what: Option<EconomyCommand>,
}

/// What can be done with the economy's accounts.
#[derive(Debug, Subcommand)]
pub enum EconomyCommand {
    /// Write all tables: sectors, parties, who uses whose product, labour, money.
    Report(EconomyReportOptions),
    /// Count a trade as another kind than it was declared, and say why.
    ///
    /// The trade's entries stay as they are: the decision is an entry of its own in the journal, moves no
    /// money, and shows in the accounts with its reason. Another one takes it back.
    #[command(
        after_help = "Examples:\n  machina economy retype 0x5f…c1 intermediate --reason \"Ada bought it for her shop\"\n  machina economy retype 0x5f…c1 declared --reason \"it was for herself after all\"\n`machina books` lists the trades."
    )]
    Retype(Retype),
}

/// What a trade shall count as.
#[derive(Debug, Clone, Args)]
pub struct Retype {
    /// The trade's reference.
    #[arg(value_name = "TRADE")]
    pub trade: String,
    /// What it was for: intermediate, final_household, final_collective, capital_formation, wage, tax,
    /// subsidy, interest, transfer or financial; or declared, as it was.
    #[arg(value_name = "KIND")]
    pub kind: String,
    /// Why, in a sentence.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

/// Options of `machina economy report`; JSON unless another form is named.
#[derive(Debug, Args)]
pub struct EconomyReportOptions {
    /// SDMX-CSV, for statisticians' tools and spreadsheets.
    #[arg(long, group = "form")]
    pub csv: bool,

    /// One HTML file, as the economy's page shows it.
    #[arg(long, group = "form")]
    pub html: bool,

    /// A4 for paper.
    #[arg(long, group = "form")]
    pub pdf: bool,

    /// Write to this file instead of standard output.
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}
