defmodule Sidewinder.Connection.Socket do
  @moduledoc """
  The socket of a connection: unix, TCP or TLS, behind one face.

  Reading is by message: 64 reads at a time where the kernel's socket is ours, one at a time where TLS stands between.
  Writing blocks, bounded by `send_timeout`; nobody but the connection waits for it, because callers have their own clocks.
  """

  @reads 64
  @buffer 65_536
  @write_buffer 262_144

  defstruct [:kind, :socket]

  @type t :: %__MODULE__{kind: :plain | :tls, socket: term}
  @type address ::
          {:unix, Path.t()} | {:tcp, host, port_number} | {:tls, host, port_number, keyword}
  @type host :: String.t() | :inet.ip_address()
  @type port_number :: 1..65_535

  @doc "Connects, within so many milliseconds."
  @spec connect(address, timeout_ms :: pos_integer, send_timeout_ms :: pos_integer) ::
          {:ok, t} | {:error, String.t()}
  def connect({:unix, path} = address, timeout, send_timeout),
    do: tcp(address, {:local, path}, 0, options(send_timeout), timeout)

  def connect({:tcp, host, port} = address, timeout, send_timeout) do
    {host, family} = host(host)
    tcp(address, host, port, family ++ [nodelay: true, keepalive: true] ++ options(send_timeout), timeout)
  end

  def connect({:tls, host, port, given} = address, timeout, send_timeout) do
    {to, family} = host(host)

    with {:ok, tls} <- tls(to, given),
         options = family ++ [nodelay: true, keepalive: true] ++ options(send_timeout) ++ tls,
         {:ok, socket} <- told(:ssl.connect(to, port, options, timeout), options),
         {:ok, "h2"} <- negotiated(socket) do
      {:ok, %__MODULE__{kind: :tls, socket: socket}}
    else
      {:error, why} -> {:error, "#{show(address)}: #{why}"}
    end
  end

  defp told({:error, why}, options), do: {:error, untrusted(why, options) || reason(why)}
  defp told(connected, _options), do: connected

  defp tcp(address, to, port, options, timeout) do
    case :gen_tcp.connect(to, port, options, timeout) do
      {:ok, socket} -> {:ok, %__MODULE__{kind: :plain, socket: socket}}
      {:error, why} -> {:error, "#{show(address)}: #{reason(why)}"}
    end
  end

  defp negotiated(socket) do
    case :ssl.negotiated_protocol(socket) do
      {:ok, "h2"} ->
        {:ok, "h2"}

      {:error, why} when why != :protocol_not_negotiated ->
        :ssl.close(socket)
        {:error, "#{reason(why)} at once; it may want a certificate (certfile:, keyfile:)"}

      _ ->
        :ssl.close(socket)
        {:error, "the server did not agree on h2 (ALPN)"}
    end
  end

  defp options(send_timeout) do
    [
      :binary,
      active: false,
      packet: :raw,
      buffer: @buffer,
      high_watermark: @write_buffer,
      low_watermark: div(@write_buffer, 2),
      send_timeout: send_timeout,
      send_timeout_close: true
    ]
  end

  defp host(host) when is_tuple(host), do: {host, if(tuple_size(host) == 8, do: [:inet6], else: [])}

  defp host(host) do
    name = String.to_charlist(host)

    case :inet.parse_address(name) do
      {:ok, address} -> host(address)
      {:error, _} -> {name, []}
    end
  end

  # Whoever says nothing about trust trusts what the machine trusts. An address is no name: it is looked for as an address.
  defp tls(host, given) do
    name = if is_list(host), do: [server_name_indication: host], else: []
    match = [customize_hostname_check: [match_fun: :public_key.pkix_verify_hostname_match_fun(:https)]]
    alpn = [alpn_advertised_protocols: ["h2"], versions: [:"tlsv1.2", :"tlsv1.3"]]

    with {:ok, trust} <- trust(Enum.any?([:verify, :cacerts, :cacertfile], &Keyword.has_key?(given, &1))),
         do: {:ok, Keyword.merge([verify: :verify_peer] ++ trust ++ name ++ match ++ alpn, given)}
  end

  defp trust(true), do: {:ok, []}

  # A machine may have none, and raises then, in its own way in each release.
  defp trust(false) do
    {:ok, [cacerts: :public_key.cacerts_get()]}
  rescue
    _ ->
      {:error, "TLS: there is no authority that is trusted here: install ca-certificates, or say which (cacertfile:)"}
  end

  # What an operator can do about it, for what happens most.
  defp untrusted({:tls_alert, {kind, text}}, options) do
    cond do
      kind == :unknown_ca and to_string(text) =~ "CLIENT ALERT" ->
        "TLS: its certificate comes from no authority that is trusted here (cacertfile:)"

      to_string(text) =~ "hostname_check_failed" ->
        name = options[:server_name_indication]
        called = if is_list(name), do: " #{name}", else: ""
        "TLS: its certificate is not for the name#{called} that it is called by (server_name_indication:)"

      to_string(text) =~ "SERVER ALERT" ->
        "TLS: it refused us: #{kind}; it may want a certificate of an authority that it trusts (certfile:, keyfile:)"

      true ->
        nil
    end
  end

  defp untrusted(_why, _options), do: nil

  @doc "From now on what is read comes as messages."
  @spec listen(t) :: :ok | {:error, term}
  def listen(%{kind: :plain, socket: socket}), do: :inet.setopts(socket, active: @reads)
  def listen(%{kind: :tls, socket: socket}), do: :ssl.setopts(socket, active: :once)

  @doc """
  Whether a write that fails now has put nothing on its way. It is tried at once when nothing waits to be written before
  it; what could not be written whole waits in the socket, which is no failure then. Of TLS nothing is known.
  """
  @spec whole?(t) :: boolean
  def whole?(%{kind: :plain, socket: socket}) when is_port(socket),
    do: :erlang.port_info(socket, :queue_size) in [{:queue_size, 0}, :undefined]

  def whole?(_socket), do: false

  @doc "Writes everything, or fails."
  @spec send(t, iodata) :: :ok | {:error, term}
  def send(%{kind: :plain, socket: socket}, bytes), do: :gen_tcp.send(socket, bytes)
  def send(%{kind: :tls, socket: socket}, bytes), do: :ssl.send(socket, bytes)

  @spec close(t) :: :ok
  def close(%{kind: :plain, socket: socket}), do: :gen_tcp.close(socket)

  def close(%{kind: :tls, socket: socket}) do
    _ = :ssl.close(socket)
    :ok
  end

  @doc "The scheme and the authority that requests to an address carry."
  @spec place(address) :: {binary, binary}
  def place({:unix, _}), do: {"http", "localhost"}
  def place({:tcp, host, port}), do: {"http", authority(host, port)}
  def place({:tls, host, port, opts}), do: {"https", authority(name(opts) || host, port)}

  defp name(opts) do
    case opts[:server_name_indication] do
      name when is_list(name) -> List.to_string(name)
      _ -> nil
    end
  end

  defp authority(host, port) when is_tuple(host) and tuple_size(host) == 8,
    do: "[#{:inet.ntoa(host)}]:#{port}"

  defp authority(host, port) when is_tuple(host), do: "#{:inet.ntoa(host)}:#{port}"
  defp authority(host, port), do: "#{host}:#{port}"

  @doc "An address for people."
  @spec show(address) :: String.t()
  def show({:unix, path}), do: "unix:#{path}"
  def show(address), do: address |> place() |> elem(1)

  @doc "Why a socket failed, for people."
  @spec reason(term) :: String.t()
  def reason(why) when is_binary(why), do: why
  def reason(:closed), do: "the connection was closed"
  def reason(:timeout), do: "timed out"
  def reason({:tls_alert, _} = why), do: untrusted(why, []) || "TLS: #{alert(why)}"

  def reason(why) when is_atom(why) do
    text = why |> :inet.format_error() |> List.to_string()
    if text =~ "unknown POSIX error", do: inspect(why), else: text
  end

  def reason(why), do: inspect(why)

  defp alert({:tls_alert, {kind, text}}), do: "#{kind}: #{String.trim(to_string(text))}"
end
