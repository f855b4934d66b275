defmodule Sidewinder do
  @moduledoc """
  Python next to a BEAM, and never a process left behind: the client of the Sidewinder daemon.

      children = [{Sidewinder, daemon: [tools: ["shop"]]}]

      {:ok, 3} = Sidewinder.call("add", %{a: 1, b: 2})

  A client is started under a supervisor and has a name, `Sidewinder` unless it is said. Functions take the client first,
  and leave it out for the one that is called `Sidewinder`. Calls run in the process that makes them: when it dies, its
  call is cancelled, all the way into Python. A timeout is a deadline, and reaches the tool as well.

  What a tool returns is `{:ok, value}`; everything else is `{:error, %Sidewinder.Error{}}`, which says whether the tool
  began. Options that make no sense raise an `ArgumentError` that names all of them.

  ## Options of a client

  #{Sidewinder.Options.docs(:client)}

  ## Options of a call

  #{Sidewinder.Options.docs(:call)}
  """

  alias Sidewinder.{Client, Error, Lease, Looking, Session}
  alias Sidewinder.Call.{Ask, Flow, Once}

  @type client :: atom | Session.t()
  @type answer :: {:ok, term} | {:error, Error.t()}

  @doc "For a supervisor: `{Sidewinder, name: MyApp.Python, address: \"/run/sidewinder.sock\"}`."
  @spec child_spec(keyword) :: Supervisor.child_spec()
  def child_spec(options) do
    %{
      id: if(Keyword.keyword?(options), do: Keyword.get(options, :name, __MODULE__), else: __MODULE__),
      start: {__MODULE__, :start_link, [options]},
      type: :supervisor
    }
  end

  @doc "Starts a client. It connects, attaches, and in mode `:coupled` starts the daemon; nothing here waits for that."
  @spec start_link(keyword) :: Supervisor.on_start()
  defdelegate start_link(options \\ []), to: Client

  @doc "Stops a client that was not started by a supervisor. It detaches, and a daemon of its own ends with it."
  @spec stop(atom, timeout) :: :ok
  def stop(client \\ __MODULE__, timeout \\ 30_000), do: Supervisor.stop(client, :normal, timeout)

  @doc """
  Arguments in, one value out. A tool that is a generator is answered with the list of its items.

      {:ok, 3} = Sidewinder.call("add", %{a: 1, b: 2})
      {:ok, 3} = Sidewinder.call("add", a: 1, b: 2)
      {:ok, 3} = Sidewinder.call(MyApp.Python, "add", [1, 2], timeout: 1_000, pool: "fast")

  Arguments go by name (a map, or a keyword list) or by place (a list).
  """
  @spec call(String.t() | client, term, term) :: answer
  def call(tool_or_client, arguments_or_tool, options_or_arguments \\ [])
  def call(tool, arguments, options) when is_binary(tool), do: call(__MODULE__, tool, arguments, options)
  def call(client, tool, arguments) when is_binary(tool), do: call(client, tool, arguments, [])

  @doc "As `call/3`, with a client and options."
  @spec call(client, String.t(), term, keyword) :: answer
  def call(client, tool, arguments, options) do
    with {:ok, ask} <- Ask.new(:call, client, tool, arguments, options), do: Once.call(ask)
  end

  @doc "As `call/3`, but gives the value itself, or raises the `Sidewinder.Error`."
  @spec call!(String.t() | client, term, term) :: term
  def call!(tool_or_client, arguments_or_tool, options_or_arguments \\ [])
  def call!(tool, arguments, options) when is_binary(tool), do: call!(__MODULE__, tool, arguments, options)
  def call!(client, tool, arguments) when is_binary(tool), do: call!(client, tool, arguments, [])

  @doc "As `call!/3`, with a client and options."
  @spec call!(client, String.t(), term, keyword) :: term
  def call!(client, tool, arguments, options) do
    case call(client, tool, arguments, options) do
      {:ok, value} -> value
      {:error, error} -> raise error
    end
  end

  @doc """
  Arguments in, items out, as a lazy enumerable.

      Sidewinder.stream("count", %{until: 3}) |> Enum.to_list()
      #=> [0, 1, 2]

  Nothing happens before it is enumerated, and each enumeration is a call. Whoever reads slowly slows the generator, and
  whoever stops early cancels it. Failures raise `Sidewinder.Error`.
  """
  @spec stream(String.t() | client, term, term) :: Enumerable.t()
  def stream(tool_or_client, arguments_or_tool, options_or_arguments \\ [])
  def stream(tool, arguments, options) when is_binary(tool), do: stream(__MODULE__, tool, arguments, options)
  def stream(client, tool, arguments) when is_binary(tool), do: stream(client, tool, arguments, [])

  @doc "As `stream/3`, with a client and options."
  @spec stream(client, String.t(), term, keyword) :: Enumerable.t()
  def stream(client, tool, arguments, options) do
    _checked = Sidewinder.Options.call!(options)
    Flow.stream(fn -> ask!(:stream, client, tool, arguments, options) end)
  end

  @doc """
  Inputs in as fast as the tool takes them (`ctx.inputs` in Python), one value out.

      {:ok, 6} = Sidewinder.upload("total", [1, 2, 3])
      {:ok, 16} = Sidewinder.upload("total", [1, 2, 3], %{start: 10})
      {:ok, 16} = Sidewinder.upload(MyApp.Python, "total", [1, 2, 3], %{start: 10}, timeout: 1_000)
  """
  @spec upload(String.t(), Enumerable.t()) :: answer
  def upload(tool, inputs), do: whole(&upload/5, [tool, inputs])

  @doc "As `upload/2`, with arguments or a client."
  @spec upload(String.t() | client, term, term) :: answer
  def upload(tool_or_client, inputs_or_tool, arguments_or_inputs),
    do: whole(&upload/5, [tool_or_client, inputs_or_tool, arguments_or_inputs])

  @doc "As `upload/2`, with arguments, and options or a client."
  @spec upload(String.t() | client, term, term, term) :: answer
  def upload(tool_or_client, inputs_or_tool, arguments_or_inputs, options_or_arguments),
    do: whole(&upload/5, [tool_or_client, inputs_or_tool, arguments_or_inputs, options_or_arguments])

  @doc "As `upload/2`, with a client, arguments and options."
  @spec upload(client, String.t(), Enumerable.t(), term, keyword) :: answer
  def upload(client, tool, inputs, arguments, options) do
    with {:ok, ask} <- Ask.new(:upload, client, tool, arguments, options), do: Once.upload(ask, inputs)
  end

  @doc """
  Inputs in, items out, both as they come: a lazy enumerable, as `stream/3`. The client, arguments and options are said, or
  left out, as for `upload/2`.

  The inputs are enumerated in a process of their own, which dies with the enumeration.
  """
  @spec converse(String.t(), Enumerable.t()) :: Enumerable.t()
  def converse(tool, inputs), do: whole(&converse/5, [tool, inputs])

  @doc "As `converse/2`, with arguments or a client."
  @spec converse(String.t() | client, term, term) :: Enumerable.t()
  def converse(tool_or_client, inputs_or_tool, arguments_or_inputs),
    do: whole(&converse/5, [tool_or_client, inputs_or_tool, arguments_or_inputs])

  @doc "As `converse/2`, with arguments, and options or a client."
  @spec converse(String.t() | client, term, term, term) :: Enumerable.t()
  def converse(tool_or_client, inputs_or_tool, arguments_or_inputs, options_or_arguments),
    do: whole(&converse/5, [tool_or_client, inputs_or_tool, arguments_or_inputs, options_or_arguments])

  @doc "As `converse/2`, with a client, arguments and options."
  @spec converse(client, String.t(), Enumerable.t(), term, keyword) :: Enumerable.t()
  def converse(client, tool, inputs, arguments, options) do
    _checked = Sidewinder.Options.call!(options)
    Flow.converse(fn -> ask!(:converse, client, tool, arguments, options) end, inputs)
  end

  # Whoever names a tool first means the client that is called as this module is.
  defp whole(fun, [tool | further]) when is_binary(tool), do: whole(fun, __MODULE__, tool, further)
  defp whole(fun, [client, tool | further]), do: whole(fun, client, tool, further)

  defp whole(fun, client, tool, [inputs]), do: fun.(client, tool, inputs, nil, [])
  defp whole(fun, client, tool, [inputs, arguments]), do: fun.(client, tool, inputs, arguments, [])
  defp whole(fun, client, tool, [inputs, arguments, options]), do: fun.(client, tool, inputs, arguments, options)

  defp ask!(kind, client, tool, arguments, options) do
    case Ask.new(kind, client, tool, arguments, options) do
      {:ok, ask} -> ask
      {:error, error} -> raise error
    end
  end

  @doc """
  Runs a tool and forgets about it. The answer is dropped; a failure is told by telemetry and the log.

  It goes on when its caller dies, and, unless `on_abandon: :cancel` is said, when this BEAM does. At most `max_casts` of a
  client are under way; a further one is refused.
  """
  @spec cast(String.t() | client, term, term) :: :ok | {:error, Error.t()}
  def cast(tool_or_client, arguments_or_tool, options_or_arguments \\ [])
  def cast(tool, arguments, options) when is_binary(tool), do: cast(__MODULE__, tool, arguments, options)
  def cast(client, tool, arguments) when is_binary(tool), do: cast(client, tool, arguments, [])

  @doc "As `cast/3`, with a client and options."
  @spec cast(client, String.t(), term, keyword) :: :ok | {:error, Error.t()}
  def cast(client, tool, arguments, options) do
    with {:ok, ask} <- Ask.new(:cast, client, tool, arguments, Keyword.put_new(options, :on_abandon, :finish)),
         do: Sidewinder.Call.Cast.start(ask)
  end

  @doc """
  Begins a call, to be awaited later with `await/2`. It is linked: when either dies, the other does, and the call with it.
  """
  @spec async(String.t() | client, term, term) :: Task.t()
  def async(tool_or_client, arguments_or_tool, options_or_arguments \\ [])
  def async(tool, arguments, options) when is_binary(tool), do: async(__MODULE__, tool, arguments, options)
  def async(client, tool, arguments) when is_binary(tool), do: async(client, tool, arguments, [])

  @doc "As `async/3`, with a client and options."
  @spec async(client, String.t(), term, keyword) :: Task.t()
  def async(client, tool, arguments, options) do
    _checked = Sidewinder.Options.call!(options)
    Task.async(fn -> call(client, tool, arguments, options) end)
  end

  @doc "The answer of an `async/3`. When it is not there in time, the call is cancelled."
  @spec await(Task.t(), timeout) :: answer
  def await(%Task{} = task, timeout \\ :infinity) do
    case Task.yield(task, timeout) || Task.shutdown(task, :brutal_kill) do
      {:ok, answer} ->
        answer

      _ ->
        what = "no answer within #{timeout} ms; the call was cancelled"
        {:error, %Error{reason: :deadline_exceeded, code: :deadline_exceeded, ran: :maybe, message: what}}
    end
  end

  @doc """
  A session: calls that run in the same worker, because they share a key.

      session = Sidewinder.session("user-17", affinity_mode: :strict_queue)
      {:ok, _} = Sidewinder.call(session, "load", %{file: "a.csv"})
      {:ok, rows} = Sidewinder.call(session, "rows", %{})

  With `:hint`, the default, a call runs elsewhere when that worker has no room. The strict modes wait for it, or are
  refused; when the worker has died, they learn by `:affinity_lost` that what it kept is lost.
  """
  @spec session(String.t() | atom, String.t() | keyword) :: Session.t()
  def session(key_or_client, options_or_key \\ [])
  def session(key, options) when is_binary(key) and is_list(options), do: session(__MODULE__, key, options)
  def session(client, key) when is_binary(key), do: session(client, key, [])

  @doc "As `session/2`, with a client and options."
  @spec session(atom, String.t(), keyword) :: Session.t()
  def session(client, key, options) when is_atom(client) and is_binary(key) do
    options = Keyword.put(options, :affinity, key)
    _checked = Sidewinder.Options.call!(options)
    %Session{client: client, key: key, options: options}
  end

  @doc """
  The ending of an earlier call of this client, by its `idempotency_key`: waits for it while the call runs.

  Endings are kept for a while, by a daemon that lives; of several daemons all are asked. `name:` asks for a call of a
  client of another name.
  """
  @spec result(String.t() | client, String.t() | keyword) :: answer
  def result(key_or_client, options_or_key \\ [])
  def result(key, options) when is_binary(key) and is_list(options), do: result(__MODULE__, key, options)
  def result(client, key) when is_binary(key), do: result(client, key, [])

  @doc "As `result/2`, with a client and options."
  @spec result(client, String.t(), keyword) :: answer
  def result(client, key, options) when is_binary(key) do
    {name, options} = Keyword.pop(options, :name, "")

    with {:ok, ask} <- Ask.new(:result, client, "", nil, options),
         do: Once.result(ask, key, name)
  end

  @doc """
  How the daemon is: its version, mode and pools, and the lease of this client. Of several daemons one answers, and `lease`
  has `leases`, one for each.
  """
  @spec status(atom) :: {:ok, map} | {:error, Error.t()}
  def status(client \\ __MODULE__), do: Looking.status(Client.fetch!(client))

  @doc "What can be called: name, pool, documentation and parameters of each tool. `pools:` asks for those of some only."
  @spec tools(atom, keyword) :: {:ok, [map]} | {:error, Error.t()}
  def tools(client \\ __MODULE__, options \\ []), do: Looking.tools(Client.fetch!(client), options[:pools] || [])

  @doc "Waits until every pool has a worker that takes calls."
  @spec wait_ready(atom, pos_integer) :: :ok | {:error, Error.t()}
  def wait_ready(client \\ __MODULE__, timeout \\ 30_000), do: Looking.wait_ready(Client.fetch!(client), timeout)

  @doc """
  The calling process hears what happens, as messages `{:sidewinder, client, %{what: :worker_gone, …}}`.

  `:what` is one of the happenings of the contract (`:worker_started`, `:worker_gone`, `:pool_saturated`, `:stopping`, …),
  or `:attached`, `:lost` and `:standing`, which this library says itself. With several daemons `:daemon` is the address of
  the one it happened to. What a listener missed because it was too slow
  is counted in `:lost`.
  """
  @spec subscribe(atom) :: :ok | {:error, Error.t()}
  def subscribe(client \\ __MODULE__), do: Lease.Bell.subscribe(Client.fetch!(client))

  @doc "The calling process hears no more."
  @spec unsubscribe(atom) :: :ok
  def unsubscribe(client \\ __MODULE__), do: Lease.Bell.unsubscribe(Client.fetch!(client))
end
